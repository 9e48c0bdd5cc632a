// Peers over WebSocket: the entry for users of a transport.

export {
  askCluster,
  askToJoin,
  type ClusterAnswer,
  type ClusterQuestion,
  type JoinOutcome,
  type JoinQuestion,
} from "./join.ts";
export {
  type Address,
  defaultLimits,
  type MemberAddress,
  maxRequestBytes,
  type PeerStats,
  type Rejection,
  type RequestOutcome,
  TransportError,
  type TransportHandler,
  type TransportLimits,
  type TransportLogger,
  type TransportOptions,
  type TransportStats,
} from "./options.ts";
export { WebSocketTransport } from "./websocket-transport.ts";
