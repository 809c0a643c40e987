import { rmSync } from "node:fs";
import { join } from "node:path";
import { killTree, sinksOf } from "./process.ts";
import { stateFolder, stopRecorded, sweep } from "./registry.ts";

/** `make servers-down`: stops what was left running on purpose. With --all also the servers of a test run under way. */
const stopped = await stopRecorded({ all: process.argv.includes("--all") });
sweep();
// Sinks whose operator was killed work on until somebody ends them.
const left = sinksOf(join(stateFolder, "demo/state"));
for (const target of left) killTree(target);
if (left.length > 0) stopped.push(`${left.length} sinks that a killed demo left`);
rmSync(join(stateFolder, "demo"), { recursive: true, force: true });
rmSync(join(stateFolder, "env"), { force: true });
console.error(stopped.length === 0 ? "Nothing was running" : `Stopped ${stopped.join(", ")}`);
