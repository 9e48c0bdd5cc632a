// What a checksum is for: no changed byte of a frame, of a handshake or of a body passes unnoticed.

import { expect, test } from "vitest";
import { DecodeError, encodeMessage } from "../raft/raftpb/index.ts";
import { checksumOf, fits, seal, sealBytes, unseal } from "./checksum.ts";
import { checkHandshake, handshakeHeaders } from "./handshake.ts";
import { append } from "./test-support.ts";

test("unseal gives back what seal was given, whatever its size", () => {
  for (const size of [0, 1, 7, 1000]) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => i * 7);
    expect(unseal(seal(bytes))).toEqual(bytes);
  }
});

test("unseal refuses a message with any bit flipped or any byte missing", () => {
  const sealed = seal(encodeMessage(append(1, 2, 40)));
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const damaged = sealed.slice();
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(() => unseal(damaged), `bit ${bit}`).toThrow(DecodeError);
  }
  for (let size = 0; size < sealed.length; size++) {
    expect(() => unseal(sealed.subarray(0, size)), `the first ${size} bytes`).toThrow(DecodeError);
  }
  expect(sealed.length).toBe(encodeMessage(append(1, 2, 40)).length + sealBytes);
});

test("fits accepts a header with the checksum of the data, or no header", () => {
  expect([fits(checksumOf("abc"), "abc"), fits(undefined, "abc")]).toEqual([true, true]);
  expect([fits(checksumOf("abc"), "abd"), fits("", "abc"), fits([checksumOf("abc")], "abc")]).toEqual([
    false,
    false,
    false,
  ]);
});

test("a handshake in which one character has changed does not reach the handler", () => {
  const identity = { from: 1, to: 2, clusterId: 77, incarnation: 1234, address: { since: 3, url: "http://c:2380" } };
  const asking: unknown[][] = [];
  const asked = {
    id: 2,
    clusterId: 77,
    admit: (...args: unknown[]): undefined => void asking.push(args),
  };
  const headers = handshakeHeaders(identity);
  expect(checkHandshake(headers, asked)).toBe(1);
  expect(asking).toEqual([[1, 1234, identity.address]]);
  let refused = 0;
  for (const [name, value] of Object.entries(headers)) {
    for (let at = 0; at < value.length; at++) {
      const changed = value.charCodeAt(at) === 0x33 ? "4" : "3"; // a 3 becomes a 4, all else a 3
      const answer = checkHandshake({ ...headers, [name]: value.slice(0, at) + changed + value.slice(at + 1) }, asked);
      expect(answer, `${name}: ${value}, at ${at}`).toMatchObject({ status: expect.any(Number) });
      refused++;
    }
  }
  expect(asking.length).toBe(1);
  expect(refused).toBeGreaterThan(30);
});
