// A snapshot on its way from one endpoint to another: chunk by chunk, each after some time, so that cuts, crashes and pauses fall between them.
//
// Promises what the real transport does: the chunks come in order; the receiver's source throws at its end unless all have come; the sender
// hears of the outcome once, and takes silence, a broken stream or a dead peer for a no; what it was given to send is always ended.

import { decodeMessage, encodeMessage, type Message } from "../raft/index.ts";
import type { End, Network } from "./network.ts";

const answerTimeoutMs = 10_000;

/** What the receiver iterates. */
class Pipe implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  #ending: "none" | "whole" | "broken" = "none";
  #wake: (() => void) | undefined;

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  end(how: "whole" | "broken"): void {
    if (this.#ending === "none") this.#ending = how;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#ending === "whole") return;
      else if (this.#ending === "broken") throw new Error("the stream broke off");
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

/** Resolves to whether the receiver has it, as far as the sender can tell. */
export async function streamSnapshot(
  network: Network,
  from: End,
  to: End,
  message: Message,
  chunks: AsyncIterable<Uint8Array>,
): Promise<boolean> {
  const { process } = from;
  const pipe = new Pipe();
  const atReceiver = (run: () => void): void => to.process.after(network.delay(), run);
  // One after the other: a stream keeps its order.
  const inOrder = async (run: () => void): Promise<void> => {
    to.process.after(0, run);
    await process.sleep(network.delay());
  };
  const bytes = encodeMessage(message);
  let answer: boolean | undefined;
  let heard: (() => void) | undefined;
  const tell = (taken: boolean): void => {
    answer ??= taken;
    heard?.();
  };
  const breakOff = (): void => atReceiver(() => pipe.end("broken"));
  const forgetFrom = process.whenDead(breakOff);
  const forgetTo = to.process.whenDead(() => process.after(network.delay(), () => tell(false)));
  atReceiver(() => {
    void to.takeSnapshot(from, decodeMessage(bytes), pipe).then((taken) => {
      if (!network.isBlocked(to.id, from.id)) process.after(network.delay(), () => tell(taken));
    });
  });
  try {
    await process.sleep(network.delay());
    for await (const chunk of chunks) {
      if (answer !== undefined) return answer;
      if (network.isBlocked(from.id, to.id) || network.random.chance(network.faults.cutStream)) {
        network.listener.count("snapshot cut");
        breakOff();
        return false;
      }
      const copy = chunk.slice();
      await inOrder(() => pipe.push(copy));
    }
    await inOrder(() => pipe.end("whole"));
    process.after(answerTimeoutMs, () => tell(false));
    if (answer === undefined) await new Promise<void>((resolve) => (heard = resolve));
    network.listener.count("snapshot sent");
    return answer ?? false;
  } catch {
    breakOff();
    return false; // its own file cannot be read: the server tells that by the source
  } finally {
    forgetFrom();
    forgetTo();
  }
}
