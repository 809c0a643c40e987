import { rmSync } from "node:fs";
import { join } from "node:path";
import { stateFolder, stopRecorded, sweep } from "./registry.ts";

/** `make servers-down`: stops what was left running on purpose. With --all also the servers of a test run under way. */
const stopped = await stopRecorded({ all: process.argv.includes("--all") });
sweep();
rmSync(join(stateFolder, "env"), { force: true });
console.error(stopped.length === 0 ? "Nothing was running" : `Stopped ${stopped.join(", ")}`);
