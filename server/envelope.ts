// What an entry of the log carries for this server: a kind, a request id, then a body.
//
//     | kind | member: u64 | epoch: u64 | counter: u64 | body ... |      little-endian, 25 bytes before the body
//
//     kind 01  a command of the state machine
//     kind 02  a note of the server's own, as JSON: {"started": {"id": 4, "incarnation": 2871...}}
//
// The id is how a member knows its own client's request again when the entry is applied. Member, a random epoch drawn at each start
// and a counter make it unique: an entry that a restarted member replays bears an old epoch and settles no waiting request. The context of a
// configuration change, and that of a read, is an envelope of kind 01 too.

export interface RequestId {
  readonly member: number;
  readonly epoch: number;
  readonly counter: number;
}

export type EnvelopeKind = "command" | "note";

export interface Envelope {
  readonly kind: EnvelopeKind;
  readonly id: RequestId;
  /** A view of the entry's data. */
  readonly body: Uint8Array;
}

const commandByte = 1;
const noteByte = 2;
const headerBytes = 25;

function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

const readU64 = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);

export function encodeEnvelope(
  { member, epoch, counter }: RequestId,
  body: Uint8Array,
  kind: EnvelopeKind = "command",
): Uint8Array {
  const bytes = new Uint8Array(headerBytes + body.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = kind === "command" ? commandByte : noteByte;
  writeU64(view, 1, member);
  writeU64(view, 9, epoch);
  writeU64(view, 17, counter);
  bytes.set(body, headerBytes);
  return bytes;
}

const isExact = ({ member, epoch, counter }: RequestId): boolean =>
  Number.isSafeInteger(member) && Number.isSafeInteger(epoch) && Number.isSafeInteger(counter);

/** Undefined for what this version did not write. Such an entry is passed over, on every member alike. */
export function decodeEnvelope(data: Uint8Array): Envelope | undefined {
  if (data.length < headerBytes || (data[0] !== commandByte && data[0] !== noteByte)) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const id = { member: readU64(view, 1), epoch: readU64(view, 9), counter: readU64(view, 17) };
  if (!isExact(id)) return undefined; // read as numbers, some of them are rounded
  return { kind: data[0] === commandByte ? "command" : "note", id, body: data.subarray(headerBytes) };
}
