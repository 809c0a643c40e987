import process from "node:process";

// Before anything is loaded: told to stop while it starts, a sink ends in order and with 0, too.
const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopping.abort());

const { command } = await import("./command.ts");
// Nothing is left to do once it is through: a socket that lingers must not keep the process.
process.exit(await command(stopping.signal));
