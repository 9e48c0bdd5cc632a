// A simulated member that joins: it asks the members that it knows, in turn, until one gives a final answer.
//
// Counterpart of transport/join.ts on the simulated network; a question or an answer takes as long as a message.

import type { Rejection } from "../transport/contract.ts";
import type { Network } from "./network.ts";
import type { Process } from "./world.ts";

export type Peers = readonly { readonly id: number; readonly url: string }[];

interface Joiner {
  readonly id: number;
  readonly incarnation: number;
  readonly process: Process;
  readonly network: Network;
}

const answerMs = 2000;
const pauseMs = 500;

/** The members, or the reason that this one never becomes a member. */
export async function askToJoin(joiner: Joiner, contacts: Peers): Promise<Peers | Rejection> {
  for (let turn = 0; ; turn++) {
    const contact = contacts[turn % contacts.length];
    if (contact === undefined) throw new Error("no member to ask is known");
    const answer = await ask(joiner, contact);
    if (answer !== undefined && !("kind" in answer && answer.kind === "unknown")) return answer;
    await joiner.process.sleep(pauseMs);
  }
}

async function ask(joiner: Joiner, contact: Peers[number]): Promise<Peers | Rejection | undefined> {
  const { id, incarnation, process, network } = joiner;
  const peer = network.at(contact.url);
  if (peer?.handler === undefined || !network.canConnect(id, contact.id)) return undefined;
  return new Promise((resolve) => {
    process.after(answerMs, () => resolve(undefined));
    peer.process.after(network.delay(), () => {
      const rejection = peer.handler?.admit(id, incarnation, undefined);
      const members = rejection ?? peer.handler?.addresses();
      process.after(network.delay(), () => resolve(members));
    });
  });
}
