import { signal, waitForEnd } from "../servers/process.ts";
import { sweep } from "../servers/registry.ts";
import { sweepCgroups } from "./cgroups.ts";
import { keeper } from "./running.ts";

/** `make cluster-down`: ends the developer's cluster, and removes what a killed one left. */
const target = keeper();
if (target === undefined) {
  console.error("No cluster was running");
} else {
  signal(target, "SIGTERM");
  if (!(await waitForEnd(target, 60_000))) throw new Error(`Process ${target.pid} keeps the cluster and does not end`);
  console.error("Stopped and removed the cluster");
}
sweep();
if (process.getuid?.() === 0) await sweepCgroups();
