import { expect, test } from "vitest";
import { stepsOf } from "./script.ts";

test("stepsOf reads shell lines with their comments, servers, and prompt commands, in their order", () => {
  const markdown = [
    "```sh",
    "npm ci && npx tsx main.ts start-server --id=1",
    "```",
    "",
    "```sh",
    "curl -d 'a # b' http://127.0.0.1:2379/k   # any member takes writes",
    "npx tsx main.ts start-server --join &",
    "",
    "```",
    "```text",
    "readyloop> add",
    "some output",
    "```",
    "```mermaid",
    "flowchart LR",
    "```",
  ].join("\n");
  expect(stepsOf(markdown)).toEqual([
    { kind: "serve", line: "npm ci && npx tsx main.ts start-server --id=1" },
    { kind: "shell", line: "curl -d 'a # b' http://127.0.0.1:2379/k", comment: "any member takes writes" },
    { kind: "shell", line: "npx tsx main.ts start-server --join &", comment: "" },
    { kind: "console", line: "add" },
  ]);
});
