// A start whose --peers did not fit the log while no peer on the list answered: whose the directory is could not be told.
//
// A member that starts before the others must not stay in that doubt: it would wait for peers of a cluster that is not its own, at addresses
// where none of its own members listens. So the list is asked again until a peer on it is of this cluster, or there is a leader. An answer
// that the start would have refused is said once in the log, and in status for as long as it is true. The member goes on: by then it serves.

import type { Logger as PinoLogger } from "pino";
import type { Warning } from "../server/member.ts";

/** Settled: a peer on the list is of this cluster. A refusal: what answers is another's, with the ways out. Open: neither. */
export type Judgement =
  | { readonly kind: "settled" }
  | { readonly kind: "open" }
  | { readonly kind: "refusal"; readonly message: string };

const pauseMs = 2000;

export class Doubt {
  /** For the log of the start. */
  readonly message: string;
  private readonly judge: () => Promise<Judgement>;
  private warning: Warning | undefined;
  private isSaid = false;
  private isSettled = false;

  constructor(message: string, judge: () => Promise<Judgement>) {
    this.message = message;
    this.judge = judge;
  }

  /** Asks now and then until it is settled. The returned function ends that. */
  follow(hasLeader: () => boolean, log: PinoLogger): () => void {
    let timer: NodeJS.Timeout | undefined;
    let isEnded = false;
    const later = (): void => {
      timer = setTimeout(
        () => void this.look(hasLeader, log).then(() => this.isSettled || isEnded || later()),
        pauseMs,
      );
      timer.unref();
    };
    later();
    return () => {
      isEnded = true;
      clearTimeout(timer);
    };
  }

  warnings(): readonly Warning[] {
    return this.warning === undefined ? [] : [this.warning];
  }

  async look(hasLeader: () => boolean, log: PinoLogger): Promise<void> {
    const judgement: Judgement = hasLeader() ? { kind: "settled" } : await this.judge().catch(() => ({ kind: "open" }));
    this.isSettled = judgement.kind === "settled";
    this.warning = judgement.kind === "refusal" ? { code: "OTHER_CLUSTER", message: judgement.message } : undefined;
    // Peers that come one after the other change the text, and not what there is to do.
    if (judgement.kind !== "refusal" || this.isSaid) return;
    this.isSaid = true;
    log.error(judgement.message);
  }
}
