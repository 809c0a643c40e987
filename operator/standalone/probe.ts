import type { Run } from "./pod-run.ts";
import { adminAddressAnnotation, type Pod, type Probe } from "./workload-types.ts";

/** Asks the probes of the pod's container and keeps count in `run`. "Dead" when it should be ended. */
export async function probe(pod: Pod, run: Run): Promise<"Alive" | "Dead"> {
  const container = pod.spec.containers[0];
  const address = pod.metadata.annotations?.[adminAddressAnnotation];
  if (container === undefined || address === undefined) return "Alive";
  await readiness(container.readinessProbe, address, run);
  if (!run.started) return startup(container.startupProbe, address, run);
  return liveness(container.livenessProbe, address, run);
}

/** Until it has succeeded once, within `failureThreshold` periods, no liveness probe is asked. */
async function startup(definition: Probe | undefined, address: string, run: Run): Promise<"Alive" | "Dead"> {
  run.started = definition?.httpGet === undefined || (await ask(definition, address));
  const { initialDelaySeconds = 0, periodSeconds = 10, failureThreshold = 3 } = definition ?? {};
  const allowedMs = (initialDelaySeconds + periodSeconds * failureThreshold) * 1_000;
  return run.started || Date.now() - Date.parse(run.startedAt) < allowedMs ? "Alive" : "Dead";
}

/** One success makes it ready; it takes `failureThreshold` failures in a row to lose that. No probe: ready at once. */
async function readiness(definition: Probe | undefined, address: string, run: Run): Promise<void> {
  const success = definition?.httpGet === undefined || (await ask(definition, address));
  run.readinessFailures = success ? 0 : run.readinessFailures + 1;
  run.ready = success || (run.ready && run.readinessFailures < (definition?.failureThreshold ?? 3));
}

async function liveness(definition: Probe | undefined, address: string, run: Run): Promise<"Alive" | "Dead"> {
  const { httpGet, initialDelaySeconds = 0, periodSeconds = 10, failureThreshold = 3 } = definition ?? {};
  const age = Date.now() - Date.parse(run.startedAt);
  if (httpGet === undefined || age < initialDelaySeconds * 1_000 || performance.now() < run.nextLiveness)
    return "Alive";
  run.nextLiveness = performance.now() + periodSeconds * 1_000;
  run.livenessFailures = (await ask({ ...definition, httpGet }, address)) ? 0 : run.livenessFailures + 1;
  return run.livenessFailures >= failureThreshold ? "Dead" : "Alive";
}

/** Whatever port the probe names, the process answers at the one address it was given. */
async function ask({ httpGet, timeoutSeconds = 1 }: Probe, address: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(timeoutSeconds * 1_000);
    const answer = await fetch(`http://${address}${httpGet?.path ?? "/"}`, { signal, redirect: "manual" });
    await answer.body?.cancel();
    return answer.status >= 200 && answer.status < 400;
  } catch {
    return false;
  }
}
