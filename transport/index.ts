// Peers over WebSocket: the way in for those who use a transport.

export {
  defaultLimits,
  type PeerStats,
  TransportError,
  type TransportHandler,
  type TransportLimits,
  type TransportLogger,
  type TransportOptions,
  type TransportStats,
} from "./options.ts";
export { WebSocketTransport } from "./websocket-transport.ts";
