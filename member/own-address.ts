// Compares the address that the log, or --peers, has for this member with the address that it listens on.
//
// The two may differ for good reasons, as a proxy or a container may map one port to another. So it is a warning, in the log and in status,
// and never a refusal. It is given when the ports differ, and when the host of the address is known not to be the one that it listens on: the
// host is resolved, and a name that does not resolve is worth the warning as well, since other members may fare no better.
//
// A new address in the log is compared again: a member that is moved with a request loses its warning.

import { lookup } from "node:dns/promises";
import net from "node:net";
import os from "node:os";
import type { Logger as PinoLogger } from "pino";
import type { Warning } from "../server/member.ts";
import type { ServerOptions } from "../server/options.ts";
import { shownHost } from "./ports.ts";

export interface Listening {
  readonly id: number;
  readonly host: string;
  readonly port: number;
}

export interface Given {
  readonly url: string;
  /** False: the log's address counts as soon as it has one. True: as soon as it has another one than at the start. */
  readonly isMove: boolean;
}

/** This member's address in --peers, if that is newer than the log's: the member is new, or has moved. */
export function givenAddress(id: number, { how, list }: ServerOptions["peers"], isNew: boolean): Given | undefined {
  const url = list.find((peer) => peer.id === id)?.url;
  return url === undefined || !(isNew || how === "moved") ? undefined : { url, isMove: how === "moved" };
}

type Resolve = (name: string) => Promise<readonly string[]>;

const resolveDeadlineMs = 2000;
const lookEveryMs = 200;
const wildcards = ["0.0.0.0", "::"];

const resolveName: Resolve = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

export class OwnAddress {
  private readonly at: Listening;
  private readonly given: Given | undefined;
  private readonly log: PinoLogger;
  private readonly resolve: Resolve;
  /** What the log named first. */
  private first: string | undefined;
  private judged: string | undefined;
  private warning: Warning | undefined;

  /** `given`: the address in --peers, until the log has it. */
  constructor(at: Listening, given: Given | undefined, log: PinoLogger, resolve: Resolve = resolveName) {
    this.at = at;
    this.given = given;
    this.log = log;
    this.resolve = resolve;
  }

  /** Compares now, and again and again; `inLog` gives undefined until the log is applied. The returned function ends this. */
  follow(inLog: () => string | undefined): () => void {
    const look = (): void => void this.look(inLog());
    look();
    const timer = setInterval(look, lookEveryMs).unref();
    return () => clearInterval(timer);
  }

  warnings(): readonly Warning[] {
    return this.warning === undefined ? [] : [this.warning];
  }

  /** Resolves once an address that is new has been judged. */
  async look(inLog: string | undefined): Promise<void> {
    this.first ??= inLog;
    const { given } = this;
    const isGiven = given !== undefined && (inLog === undefined || (given.isMove && inLog === this.first));
    const url = isGiven ? given.url : inLog;
    if (url === undefined || url === "" || url === this.judged) return;
    this.judged = url;
    const why = await this.differs(url);
    if (this.judged !== url) return; // another has come meanwhile
    this.warning = why === undefined ? undefined : { code: "ADDRESS_DIFFERS", message: this.text(url, why, isGiven) };
    if (this.warning !== undefined) this.log.warn(this.warning.message);
  }

  private text(url: string, why: string, isGiven: boolean): string {
    const { id, host, port } = this.at;
    const own = `http://${wildcards.includes(host) ? "HOST" : shownHost(host)}:${port}`;
    const source = isGiven ? "--peers has" : "the log has";
    const isFirstStart = isGiven && this.given?.isMove === false;
    const allMoved = isFirstStart
      ? ""
      : "; or, if all members have moved, start each of them with --peers-moved and the new --peers";
    return (
      `${source} member ${id} at ${url}, and it listens on ${shownHost(host)}:${port}: ${why}. The other members dial ${url}. If that does ` +
      "not lead here, start this member with the --peer-port and --host of that address; or, if only this member has moved, run " +
      `readyloop members move ${id} ${own}${allMoved}`
    );
  }

  /** Why peers that dial this address may not reach this member; undefined if they do, or if that is unknown. */
  private async differs(text: string): Promise<string | undefined> {
    const { host, port } = this.at;
    const url = new URL(text);
    if (Number(url.port || "80") !== port) return "the ports differ";
    const name = withoutBrackets(url.hostname);
    if (plain(name) === plain(host)) return undefined;
    const wanted = await this.addressesOf(name);
    if (wanted === undefined) return `the name ${name} does not resolve here`;
    const own = wildcards.includes(host) ? interfaceAddresses() : await this.addressesOf(host);
    if (own === undefined || wanted.some((address) => own.includes(address))) return undefined;
    return `${name} is ${wanted.includes(plain(name)) ? "" : `${wanted.join(", ")}, `}no address that it listens on`;
  }

  private async addressesOf(host: string): Promise<string[] | undefined> {
    if (net.isIP(host) !== 0) return [plain(host)];
    const late = new Promise<undefined>((resolve) => void setTimeout(resolve, resolveDeadlineMs, undefined).unref());
    const found = await Promise.race([this.resolve(host).catch(() => undefined), late]);
    return found === undefined || found.length === 0 ? undefined : found.map(plain);
  }
}

const withoutBrackets = (host: string): string => host.replace(/^\[|\]$/g, "");

/** One spelling for each address: IPv6 as in a URL, and an IPv4-mapped IPv6 address as IPv4. */
function plain(address: string): string {
  if (net.isIPv6(address) && !address.includes("%")) {
    const shown = withoutBrackets(new URL(`http://[${address}]`).hostname);
    const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(shown);
    if (mapped === null) return shown;
    const [high, low] = [Number.parseInt(mapped[1] as string, 16), Number.parseInt(mapped[2] as string, 16)];
    return [high >> 8, high & 255, low >> 8, low & 255].join(".");
  }
  return address;
}

const interfaceAddresses = (): string[] =>
  Object.values(os.networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => plain(address)));
