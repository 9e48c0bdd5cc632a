// The two commands of the map, put and delete, as the bytes that raft replicates.
//
//     byte 0     version, 1
//     byte 1     operation: 1 put, 2 delete
//     bytes 2-3  size of the key in bytes, big endian
//     then       the key in UTF-8, and for a put the value: all bytes that are left
//
// Promises: decodeCommand(encodePut(k, v)) gives back k and v, byte for byte; a decoder throws CommandError and nothing
// else, whatever the bytes; every command has exactly one encoding. The version comes first because members of
// different releases read one log: a member that meets an unknown version must be able to say so. The API limits keys
// and values.
//
// Imports nothing, so that it runs unchanged in a browser and in a simulator.

/** The bytes are not a command, or the command cannot be written as bytes. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly code = "KV_COMMAND";
}

export type Command =
  | { readonly kind: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly key: string };

const formatVersion = 1;
const putTag = 1;
const deleteTag = 2;
const headerSize = 4;
const maxKeySize = 0xffff;

const encoder = new TextEncoder();
// Without ignoreBOM a decoder drops a leading U+FEFF, and two different keys would become one.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const loneSurrogate = /\p{Surrogate}/u;
const noBytes = new Uint8Array(0);

/** The value is copied. Throws CommandError for a key over 65,535 bytes or one that UTF-8 cannot express. */
export function encodePut(key: string, value: Uint8Array): Uint8Array {
  return encode(putTag, key, value);
}

/** Throws CommandError as encodePut does. */
export function encodeDelete(key: string): Uint8Array {
  return encode(deleteTag, key, noBytes);
}

function encode(operation: number, key: string, value: Uint8Array): Uint8Array {
  if (loneSurrogate.test(key))
    throw new CommandError("the key holds half of a surrogate pair, which UTF-8 cannot express");
  const keyBytes = encoder.encode(key);
  const keySize = keyBytes.length;
  if (keySize > maxKeySize) throw new CommandError(`the key has ${keySize} bytes, more than ${maxKeySize}`);
  const bytes = new Uint8Array(headerSize + keySize + value.length);
  bytes[0] = formatVersion;
  bytes[1] = operation;
  bytes[2] = keySize >>> 8;
  bytes[3] = keySize & 0xff;
  bytes.set(keyBytes, headerSize);
  bytes.set(value, headerSize + keySize);
  return bytes;
}

/** The command in `bytes`; its value is a view of them, not a copy. Throws CommandError. */
export function decodeCommand(bytes: Uint8Array): Command {
  if (bytes.length < headerSize)
    throw new CommandError(`a command has at least ${headerSize} bytes, not ${bytes.length}`);
  if (bytes[0] !== formatVersion) {
    throw new CommandError(
      `command version ${bytes[0]} is not known here, only ${formatVersion}: run one release on all members`,
    );
  }
  const operation = bytes[1];
  const keyEnd = headerSize + ((bytes[2]! << 8) | bytes[3]!);
  if (keyEnd > bytes.length) {
    throw new CommandError(`the key should end at offset ${keyEnd}, but the command ends at ${bytes.length}`);
  }
  const key = decodeKey(bytes.subarray(headerSize, keyEnd));
  if (operation === putTag) return { kind: "put", key, value: bytes.subarray(keyEnd) };
  if (operation !== deleteTag)
    throw new CommandError(`operation ${operation} is neither ${putTag} (put) nor ${deleteTag} (delete)`);
  if (keyEnd < bytes.length) throw new CommandError(`${bytes.length - keyEnd} bytes follow the key of a delete`);
  return { kind: "delete", key };
}

function decodeKey(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new CommandError("the key is not UTF-8");
  }
}
