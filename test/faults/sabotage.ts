import process from "node:process";

/**
 * Loaded into a sink before its own code (`node --import`): what cannot be done to a process from outside, told by its
 * parent. The sink knows nothing of it.
 */
export type Sabotage =
  /** The wall clock is this much off from now on; what measures durations is not. */
  | { readonly kind: "Clock"; readonly offsetMs: number }
  /** Nothing else runs meanwhile: no heartbeat, no timer, no answer. */
  | { readonly kind: "Stall"; readonly ms: number };

const realNow = Date.now.bind(Date);
let offsetMs = 0;
const now = () => realNow() + offsetMs;

globalThis.Date = new Proxy(Date, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
});

process.on("message", (message: Sabotage) => {
  if (message.kind === "Clock") offsetMs = message.offsetMs;
  else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, message.ms);
});
// A run that was killed leaves no sinks behind.
process.on("disconnect", () => process.exit(1));
// Listening must not keep the sink from ending.
process.channel?.unref();
