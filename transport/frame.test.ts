import protobuf from "protobufjs/minimal.js";
import { describe, expect, test } from "vitest";
import { DecodeError, encodeMessage, type Message, MessageType, makeEntry, makeMessage } from "../raft/raftpb/index.ts";
import { decodeFrame, FrameWriter, framingBytes, itemsOf, maxFrameItems } from "./frame.ts";
import { append, heartbeat } from "./test-support.ts";

function frameOf(messages: readonly Message[]): Uint8Array {
  const writer = new FrameWriter();
  for (const m of messages) writer.add(encodeMessage(m), itemsOf(m));
  return writer.take();
}

/** A frame with one message of the given fields, each a length-delimited field without bytes. */
function frameOfEmptyFields(field: number, count: number): Uint8Array {
  const message = new Uint8Array(count * 2);
  for (let at = 0; at < message.length; at += 2) message[at] = (field << 3) | 2;
  return new protobuf.Writer().uint32(10).bytes(message).finish();
}

/** A small generator with a seed (mulberry32), so that a failing input can be repeated. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("FrameWriter and decodeFrame", () => {
  test("give back the messages that were added, in order", () => {
    const messages = [heartbeat(1, 2, 5), append(1, 2, 300), heartbeat(1, 2, 6)];
    expect(decodeFrame(frameOf(messages))).toEqual(messages);
  });

  test("count bytes, messages and items of a frame, and start anew when it is taken", () => {
    const writer = new FrameWriter();
    const m = append(1, 2, 300);
    const encoded = encodeMessage(m);
    writer.add(encoded, itemsOf(m));
    writer.add(encoded, itemsOf(m));
    expect([writer.messages, writer.items]).toEqual([2, 4]);
    expect(writer.size).toBeLessThanOrEqual(2 * (encoded.length + framingBytes));
    expect(writer.size).toBe(writer.take().length);
    expect([writer.messages, writer.items, writer.size]).toEqual([0, 0, 0]);
  });

  test("refuse a frame without messages", () => {
    expect(() => decodeFrame(new Uint8Array(0))).toThrow(DecodeError);
  });

  test("refuse a frame with another field", () => {
    expect(() => decodeFrame(new protobuf.Writer().uint32(16).uint32(1).finish())).toThrow(/tag 16/);
  });

  test("refuse a frame that ends in the middle of a message, at every length", () => {
    const whole = frameOf([append(1, 2, 40)]);
    for (let size = 0; size < whole.length; size++) {
      expect(() => decodeFrame(whole.subarray(0, size)), `first ${size} bytes`).toThrow(DecodeError);
    }
  });

  test("refuse a frame with too many entries before building them", () => {
    expect(() => decodeFrame(frameOfEmptyFields(7, maxFrameItems))).toThrow(/more than 262144/);
    const fits = decodeFrame(frameOfEmptyFields(7, maxFrameItems - 1));
    expect(fits[0]?.entries.length).toBe(maxFrameItems - 1);
  });

  test("refuse a frame with too many messages", () => {
    const bytes = new Uint8Array((maxFrameItems + 1) * 2);
    for (let at = 0; at < bytes.length; at += 2) bytes[at] = 10;
    expect(() => decodeFrame(bytes)).toThrow(/more than 262144/);
  });

  test("refuse a large frame with responses or a snapshot before building them", () => {
    expect(() => decodeFrame(frameOfEmptyFields(14, maxFrameItems))).toThrow(/snapshot or responses/);
    expect(() => decodeFrame(frameOfEmptyFields(9, maxFrameItems))).toThrow(/snapshot or responses/);
  });

  test("accept a large frame of few items", () => {
    const m = makeMessage(MessageType.MsgApp, { entries: [makeEntry(0, 1, 1, new Uint8Array(2 ** 20))], reject: true });
    expect(decodeFrame(frameOf([m, m])).map((d) => d.entries[0]?.data?.length)).toEqual([2 ** 20, 2 ** 20]);
  });

  test("give messages or DecodeError for random or damaged bytes, nothing else", () => {
    const random = seeded(20260731);
    const below = (n: number): number => Math.floor(random() * n);
    const honest = frameOf([append(1, 2, 20), heartbeat(1, 2, 2 ** 40), append(1, 2, 3)]);
    let decoded = 0;
    let refused = 0;
    for (let round = 0; round < 50_000; round++) {
      const noise = Uint8Array.from({ length: below(60) }, () => below(256));
      const damaged = honest.slice(0, round % 4 === 1 ? 1 + below(honest.length) : honest.length);
      for (let flips = 1 + below(3); flips > 0; flips--) damaged[below(damaged.length)] = below(256);
      try {
        decodeFrame(round % 4 === 0 ? noise : damaged);
        decoded++;
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        refused++;
      }
    }
    expect(decoded).toBeGreaterThan(1000);
    expect(refused).toBeGreaterThan(1000);
  });
});
