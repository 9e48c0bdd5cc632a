#!/usr/bin/env -S npx tsx
// The entry: hands the command line to cli/. Try `npx tsx main.ts --help`.

import { main } from "./cli/index.ts";
import { watchOutput } from "./cli/output.ts";

watchOutput();
process.exitCode = await main(process.argv.slice(2));
