import process from "node:process";
import v8 from "node:v8";

// A sink makes much garbage and keeps little: V8 would let its heap grow to several times of that (docs/benchmarks.md).
v8.setFlagsFromString("--heap-growing-percent=100");

// Before anything is loaded: told to stop while it starts, a sink ends in order and with 0, too.
const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopping.abort());

const { command } = await import("./command.ts");
// Nothing is left to do once it is through: a socket that lingers must not keep the process.
process.exit(await command(stopping.signal));
