// Walks every flag and every argument of every command, as they are declared: one that is added later is walked too.
//
// To list what is walked: npx vitest run cli/every-flag.test.ts --reporter=verbose

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Flag } from "../command-line/flags.ts";
import type { Kind } from "../command-line/kinds.ts";
import { camelCase, variableOf } from "../command-line/read.ts";
import type { Command, Group } from "./command.ts";
import { root } from "./index.ts";
import { read } from "./read.ts";
import { inProcess } from "./testing.ts";

type Samples = (kind: Kind<unknown>) => readonly string[];

const bounds: Samples = ({ min, max }) => [String(min), String(max)];
const firstChoice: Samples = ({ choices = [] }) => choices.slice(0, 1);

/** Values that each kind takes; the first ones of all kinds are good together. */
const good: Record<Kind<unknown>["name"], Samples> = {
  text: () => ["some-text", " spaces around ", "ä", "a=b,c", "-"],
  integer: bounds,
  amount: () => ["1", "0.5"],
  switch: () => ["true", "false"],
  choice: ({ choices = [] }) => choices,
  choices: ({ choices = [] }) => [...choices, choices.join(",")],
  host: () => ["127.0.0.1", "::1", "[::1]", "localhost", "0.0.0.0", "host-1.example"],
  hosts: () => ["kv.example", "KV.example,kv,my_host"],
  key: () => ["k", " ", ".", "..", "...", "007", "1e3", "a/b", "_status"],
  url: () => ["http://127.0.0.1:2380", "http://localhost", "http://[::1]:2380/", "http://a:65535"],
  urls: () => ["http://127.0.0.1:2379", "localhost:2379", "[::1]:2379,http://a:1"],
  peers: () => ["http://127.0.0.1:2380", "http://a:1,http://b:1", "7=http://a:1,1=http://b:1"],
};

/** What node makes of bytes that are not UTF-8. */
const notUtf8 = "a\ufffdb";
const noUrl = [
  ...["nowhere", "http://", "http://a:0", "http://a:65536", "http://a:01", "http://a:1e3", "https://a:1", "http:a:1"],
  ...["http://a:1/x", "http://a:1?x", "http://a:1#x", "http://u@a:1", "http://:p@a:1", " http://a:1", "http://a:1 "],
];
const noList = [
  "http://a:1,",
  ",http://a:1",
  "http://a:1,,http://b:1",
  "http://a:1, http://b:1",
  "http://a:1,http://A:1/",
];

/** Values that each kind refuses. */
const wrong: Record<Kind<unknown>["name"], Samples> = {
  text: ({ takesEmpty }) => (takesEmpty ? [] : [" ", "\t\n"]),
  integer: ({ min = 0, max = 0 }) => [
    ...[String(min - 1), String(BigInt(max) + 1n), "18446744073709551616", "x", "NaN", "Infinity", "true"],
    ...["1e3", "0x10", "0b1", "+5", "007", "5.0", "5.5", "5_000", "5,000", " 5", "5 ", "5\n", "5n", "٥"],
  ],
  amount: () => ["0", "-1", "x", "1e3", "0x10", "+5", " 5", "Infinity", "NaN"],
  switch: () => ["yes", "no", "1", "0", "on", "off", "TRUE", "True", " true", "null"],
  choice: (kind) => ["none-such", `${firstChoice(kind)} `, `${firstChoice(kind)}`.toUpperCase(), "toString"],
  choices: (kind) => ["none-such", `${firstChoice(kind)},`, `${firstChoice(kind)},${firstChoice(kind)}`, "toString"],
  hosts: () => [
    ...noList,
    ...["a:2379", "*.example", ".example", "example.", "http://a", "a b", "[::1]", "u@a", "k\u00f6ln", "kv,KV"],
  ],
  host: () => ["[::1", "[::g]", "http://localhost", "localhost:80", "local host", " localhost", "::g", "a/b", "u@a"],
  key: () => ["k".repeat(4097), "\u00e4".repeat(2049)],
  url: () => noUrl,
  urls: () => [
    ...noUrl,
    ...noList,
    "a:0",
    "a:01",
    "localhost:2379,localhost:2379",
    "localhost:2379,http://localhost:2379",
  ],
  peers: () => [
    ...[...noUrl, ...noList, "localhost:2380", "1=http://a:1,http://b:1", "1=http://a:1,1=http://b:1"],
    ...[
      "0=http://a:1",
      "01=http://a:1",
      "1e0=http://a:1",
      "x=http://a:1",
      "=http://a:1",
      "1= http://a:1",
      "-1=http://a:1",
    ],
  ],
};

const commandsOf = (group: Group, before: readonly string[] = []): [string, Command][] =>
  group.commands.flatMap((node) => {
    const words = [...before, node.name];
    return "commands" in node ? commandsOf(node, words) : [[words.join(" "), node] as [string, Command]];
  });

const commands = commandsOf(root);
interface Walked {
  readonly name: string;
  readonly command: Command;
  readonly flag: string;
  readonly declared: Flag;
}

/** With a title for each, since the test runner cuts long names. */
const flags = commands.flatMap(([name, command]) =>
  Object.entries(command.flags).map(([flag, declared]): [string, Walked] => [
    `${name} --${flag}`,
    { name, command, flag, declared },
  ]),
);
const operands = commands.flatMap(([name, command]) =>
  Object.entries(command.arguments).map(([argument, declared]): [string, Walked] => [
    `${name} <${argument}>`,
    { name, command, flag: argument, declared },
  ]),
);

/** Read as main reads it, but for what the flags must be together. */
const readUnchecked = (
  { command, name }: Pick<Walked, "command" | "name">,
  words: readonly string[],
  environment = {},
): Record<string, unknown> =>
  read({ ...command, check: () => undefined }, name, words, environment) as Record<string, unknown>;

const goodOne = ({ kind }: Flag): string => good[kind.name](kind)[0] as string;

/** All that the command needs, but for this flag. */
function rest(command: Command, but?: string): string[] {
  const needed = Object.entries(command.flags).filter(([flag, { required }]) => required === true && flag !== but);
  return [
    ...Object.values(command.arguments).map(goodOne),
    ...needed.map(([flag, declared]) => `--${flag}=${goodOne(declared)}`),
  ];
}

let directory: string;
const home = process.cwd();
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "readyloop-"));
  process.chdir(directory);
});
afterAll(() => {
  process.chdir(home);
  fs.rmSync(directory, { recursive: true });
});

/** The command is refused, by this name, in two lines, before it does anything. */
async function expectRefused(names: string, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await inProcess(...args);
  const [line, hint, ...more] = stderr.trimEnd().split("\n");
  expect({ args, code, stdout, line, hint, more, made: fs.readdirSync(directory) }).toEqual({
    ...{ args, code: 2, stdout: "", more: [], made: [] },
    line: expect.stringContaining(names),
    hint: expect.stringMatching(/^Try: readyloop .*--help$/),
  });
  expect(line).toMatch(/^readyloop: /);
}

describe("on the command line", () => {
  test.each(flags)("%s is refused twice, empty, without a value, and with a wrong one", async (_title, walked) => {
    const { name, flag, command, declared } = walked;
    const start = [...name.split(" "), ...rest(command, flag)];
    const value = goodOne(declared);
    const refused = (...words: string[]): Promise<void> => expectRefused(`--${flag}`, ...start, ...words);
    await refused(`--${flag}=${value}`, `--${flag}=${value}`);
    await refused(`--${flag}=`);
    if (declared.kind.name === "switch") {
      await refused(`--${flag}`, `--${flag}`);
      await expectRefused('"true"', ...start, `--${flag}`, "true");
    } else {
      await refused(`--${flag}`, value, `--${flag}`, value);
      await refused(`--${flag}`);
      await refused(`--${flag}`, "");
      await refused(`--${flag}`, "--");
      await refused(`--${flag}`, "--unheard-of=1");
    }
    for (const bad of [...wrong[declared.kind.name](declared.kind), notUtf8]) await refused(`--${flag}=${bad}`);
  });

  test.each(flags)("%s has one spelling", async (_title, { name, flag, command, declared }) => {
    const start = [...name.split(" "), ...rest(command, flag)];
    const value = goodOne(declared);
    const spellings = [`--no-${flag}`, `--${flag}.x`, `--${flag.toUpperCase()}`, `-${flag}`, `-${flag[0]}`];
    if (flag.includes("-")) spellings.push(`--${camelCase(flag)}`, `--${flag.replace("-", "_")}`);
    for (const spelling of spellings) {
      await expectRefused(spelling, ...start, `${spelling}=${value}`);
      await expectRefused(spelling, ...start, spelling, value);
    }
  });

  test.each(flags)("%s is accepted with a good value", (_title, walked) => {
    const { flag, command, declared } = walked;
    const { kind, required } = declared;
    const reading = (...words: string[]): unknown =>
      readUnchecked(walked, [...rest(command, flag), ...words])[camelCase(flag)];
    for (const value of good[kind.name](kind)) {
      expect(reading(`--${flag}=${value}`)).toEqual(kind.read(value, flag));
      if (kind.name !== "switch") expect(reading(`--${flag}`, value)).toEqual(kind.read(value, flag));
    }
    if (kind.name === "switch") expect(reading(`--${flag}`)).toBe(true);
    if (required !== true) expect(reading()).toEqual(declared.default);
  });

  test.each(operands)("%s is refused if it is missing, empty or wrong", async (_title, walked) => {
    const { name, flag, command, declared } = walked;
    const at = Object.keys(command.arguments).indexOf(flag);
    const all = Object.values(command.arguments).map(goodOne);
    const start = [...name.split(" "), ...rest(command).slice(all.length)];
    const refused = (...words: string[]): Promise<void> => expectRefused(`<${flag}>`, ...start, ...words);
    await refused(...all.slice(0, at));
    const values = wrong[declared.kind.name](declared.kind);
    for (const bad of [...values, notUtf8, ...(declared.kind.takesEmpty ? [] : [""])])
      await refused("--", ...all.with(at, bad));
  });

  test.each(operands)("%s reaches the command unchanged", (_title, walked) => {
    const { flag, command, declared } = walked;
    const { kind } = declared;
    const at = Object.keys(command.arguments).indexOf(flag);
    const all = Object.values(command.arguments).map(goodOne);
    const needed = rest(command).slice(all.length);
    const dashes = ["text", "key"].includes(kind.name) ? ["-k", "--help", "--", "-", "-1", "007", "1e3", "true"] : [];
    for (const value of [...good[kind.name](kind), ...dashes]) {
      const values = readUnchecked(walked, [...needed, "--", ...all.with(at, value)]);
      expect(values[flag]).toEqual(kind.read(value, flag));
      if (dashes.length > 0) expect(values[flag]).toBe(value);
      if (/^-./.test(value)) continue;
      expect(readUnchecked(walked, [...all.with(at, value), ...needed])[flag]).toEqual(values[flag]);
    }
  });

  test.each(commands)("%s takes no argument too many, and no flag that is not its own", async (name, command) => {
    const start = [...name.split(" "), ...rest(command)];
    await expectRefused('"extra"', ...start, "extra");
    await expectRefused('""', ...start, "");
    for (const word of ["--unheard-of", "--__proto__", "--constructor", "-x", "-"]) {
      await expectRefused(word, ...start, word);
    }
    await expectRefused("no flag --", ...start, "--=1");
  });

  const required = flags.filter(([, { declared }]) => declared.required === true);
  test.each(required)("%s is reported by its name if it is missing", async (_title, { name, flag, command }) => {
    await expectRefused(`${name}: --${flag} is missing`, ...name.split(" "), ...rest(command, flag));
  });
});

describe("from the environment", () => {
  const settable = flags.filter(([, { declared }]) => declared.environment !== false);
  test.each(settable)("%s is refused empty and with a wrong value", async (_title, walked) => {
    const { name, flag, command, declared } = walked;
    const variable = variableOf(flag);
    for (const value of ["", notUtf8, ...wrong[declared.kind.name](declared.kind)]) {
      vi.stubEnv(variable, value);
      try {
        await expectRefused(`${variable} (--${flag})`, ...name.split(" "), ...rest(command, flag));
      } finally {
        vi.unstubAllEnvs();
      }
    }
  });

  test.each(settable)("%s is accepted with a good value, unless the command line has another", (_title, walked) => {
    const { flag, command, declared } = walked;
    const { kind } = declared;
    const reading = (words: readonly string[], value: string): unknown =>
      readUnchecked(walked, [...rest(command, flag), ...words], { [variableOf(flag)]: value })[camelCase(flag)];
    for (const value of good[kind.name](kind)) {
      expect(reading([], value)).toEqual(kind.read(value, flag));
      expect(reading([`--${flag}=${value}`], "overruled")).toEqual(kind.read(value, flag));
    }
  });

  const consents = flags.filter(([, { declared }]) => declared.environment === false);
  test.each(consents)("%s cannot be given", (_title, walked) => {
    const { flag, command, declared } = walked;
    for (const value of ["true", "", "yes"]) {
      expect(readUnchecked(walked, rest(command), { [variableOf(flag)]: value })[camelCase(flag)]).toBe(
        declared.default,
      );
    }
  });

  test.each(commands)("%s is not changed by the variables of other commands", (name, command) => {
    const others = flags.map(([, { flag }]) => flag).filter((flag) => !Object.hasOwn(command.flags, flag));
    const environment = Object.fromEntries(["unheard-of", ...others].map((flag) => [variableOf(flag), "1"]));
    const words = rest(command);
    expect(readUnchecked({ name, command }, words, environment)).toEqual(readUnchecked({ name, command }, words));
  });
});
