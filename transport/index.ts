// Peers over WebSocket: the entry for users of a transport.

export type { Address, MemberAddress, Rejection, Remaining, RequestOutcome, TransportHandler } from "./contract.ts";
export {
  askCluster,
  askToJoin,
  type ClusterAnswer,
  type ClusterQuestion,
  type JoinOutcome,
  type JoinQuestion,
} from "./join.ts";
export {
  defaultLimits,
  maxRequestBytes,
  type PeerStats,
  TransportError,
  type TransportLimits,
  type TransportLogger,
  type TransportOptions,
  type TransportStats,
} from "./options.ts";
export { WebSocketTransport } from "./websocket-transport.ts";
