import process from "node:process";

// Preloaded into a sink, whose clock then stands elsewhere: where the broker gives no time, a ledger of several months is
// written in seconds.
const shiftMs = Number(process.env["CLOCK_SHIFT_MS"] ?? 0);
const trueNow = Date.now;
Date.now = () => trueNow() + shiftMs;
