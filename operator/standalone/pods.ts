import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { sleep } from "../runtime/backoff.ts";
import type { Key, Outcome, Reconciler, Tools } from "../runtime/controller.ts";
import { NotFoundError, type ObjectStore } from "../runtime/object-store.ts";
import { materialise } from "./pod-files.ts";
import { findPods, freePort, killMarked, rotateLog, spawnPod, stopProcess } from "./pod-process.ts";
import { podStatus, type RestartPolicy, type Run, recordExit, restartPolicy, restoredRun, seconds } from "./pod-run.ts";
import { probe } from "./probe.ts";
import { isRunning, type ProcessId, signalProcess } from "./processes.ts";
import { runEnds } from "./run-ends.ts";
import { adminAddressAnnotation, type Container, type Pod, processFinalizer } from "./workload-types.ts";

export interface PodRunnerOptions {
  store: ObjectStore;
  log: Logger;
  /** The state folder: each pod has `pods/<uid>` in it. */
  dir: string;
  /** Tells this folder's processes from those of another one. */
  stateId: string;
  /** What the command words of a container start here; any other command is refused. */
  commands: Record<string, readonly string[]>;
  restart?: RestartPolicy;
}

interface PodOutcome extends Outcome {
  /** Undefined when only an intent was written down. */
  run: Run | undefined;
  now: string;
}

export interface PodRunner {
  reconciler: Reconciler<Pod, PodOutcome>;
  /** Finds the processes of an earlier operator again. Must have ended before the reconciler runs. */
  adopt(): Promise<void>;
  /** Ends every process; the Pod objects stay, and the next operator starts them again. */
  stopAll(): Promise<void>;
}

/** How often a running process is looked at. */
const lookMs = 1_000;
const scanMs = 30_000;

/**
 * Runs each Pod object as one process. The order keeps a pod from ever running twice: the Pod object is there before its
 * process, the process carries the pod's uid from its first instant, and before one is started /proc is searched for it.
 */
export function podRunner(options: PodRunnerOptions): PodRunner {
  const { store, dir, stateId, log, restart = restartPolicy } = options;
  const runs = new Map<string, Run>();
  /** Of the processes that are our own children: told after `run` has taken note of the exit. */
  const exits = new Map<string, Promise<void>>();
  let wake: (key: Key) => void = () => undefined;

  const folderOf = ({ metadata }: Pod) => join(dir, "pods", metadata.uid);
  const markOf = (uid: string) => `${stateId}/${uid}`;

  async function adopt(): Promise<void> {
    const found = await findPods(stateId);
    const { items } = await store.list<Pod>("Pod");
    const known = new Set(items.map(({ metadata }) => metadata.uid));
    for (const { uid, id } of found.filter((pod) => !known.has(pod.uid))) {
      log.warn({ uid, pid: id.pid }, "Ending process without a pod");
      await stopProcess(id, markOf(uid), 5_000);
    }
    for (const pod of items) {
      const mine = found.filter(({ uid }) => uid === pod.metadata.uid).map(({ id }) => id);
      runs.set(pod.metadata.uid, await adoptPod(pod, mine));
    }
  }

  async function adoptPod(pod: Pod, found: ProcessId[]): Promise<Run> {
    const recorded = pod.status?.containerStatuses[0]?.containerID;
    const kept = found.find(({ pid, start }) => recorded === `process://${pid}/${start}`) ?? found[0];
    for (const second of found.filter((id) => id !== kept)) {
      log.warn({ pod: pod.metadata.name, pid: second.pid }, "Ending second process of a pod");
      await signalProcess(second, "SIGKILL");
    }
    if (kept) log.info({ pod: pod.metadata.name, pid: kept.pid }, "Found process of pod again");
    return restoredRun(pod, kept, seconds(new Date()));
  }

  async function start(pod: Pod, run: Run, { signal }: Tools<Pod>): Promise<void> {
    const { uid, name } = pod.metadata;
    const left = (await findPods(stateId)).filter((found) => found.uid === uid).map(({ id }) => id);
    if (left.length > 0) {
      const { process: found } = await adoptPod(pod, left);
      if (found) run.process = found;
      return;
    }
    // Descendants that outlived the process still hold its ports.
    await killMarked(markOf(uid));
    const container = theContainer(pod);
    const { command, env } = await materialise(pod, container, folderOf(pod), store);
    if (signal.aborted) return;
    const spawned = await spawnPod({
      command: programOf(command, options.commands),
      env: { ...env, ...adminEnvironment(pod) },
      dir: folderOf(pod),
      mark: markOf(uid),
    });
    Object.assign(run, { process: spawned.id, startedAt: seconds(new Date()) });
    Object.assign(run, { started: false, ready: false, readinessFailures: 0, livenessFailures: 0, nextLiveness: 0 });
    log.info({ pod: name, pid: spawned.id.pid, restarts: run.restarts }, "Started process");
    const exited = spawned.exited.then((exit) => {
      exits.delete(uid);
      if (run.process !== spawned.id) return;
      recordExit(run, exit, new Date(), restart);
      log.info({ pod: name, ...exit, restarts: run.restarts }, "Process exited");
      wake(pod.metadata);
    });
    exits.set(uid, exited);
  }

  async function tryStart(pod: Pod, run: Run, tools: Tools<Pod>): Promise<void> {
    try {
      await start(pod, run, tools);
    } catch (error) {
      const { reason = "CreateContainerError", message } = error as Error & { reason?: string };
      run.waiting = { reason, message };
      run.nextStart = performance.now() + restart.baseMs;
    }
  }

  async function reconcile(pod: Pod, tools: Tools<Pod>): Promise<PodOutcome> {
    const now = seconds(new Date());
    const run = runs.get(pod.metadata.uid) ?? restoredRun(pod, undefined, now);
    runs.set(pod.metadata.uid, run);
    if (run.process && !(await isRunning(run.process))) {
      // Of a process that an earlier operator started nobody hears the exit code.
      await (exits.get(pod.metadata.uid) ?? recordExit(run, undefined, new Date(), restart));
    }
    if (!run.process && performance.now() >= run.nextStart) {
      if (await chooseAddress(pod, store)) return { run: undefined, now, requeueAfterMs: lookMs };
      await tryStart(pod, run, tools);
    }
    if (run.process) await look(pod, run);
    const untilStart = Math.max(50, run.nextStart - performance.now());
    return { run: structuredClone(run), now, requeueAfterMs: run.process ? lookMs : Math.min(lookMs, untilStart) };
  }

  async function look(pod: Pod, run: Run): Promise<void> {
    await rotateLog(folderOf(pod));
    const verdict = await probe(pod, run);
    if (verdict !== "Dead" || run.process === undefined) return;
    log.warn({ pod: pod.metadata.name, pid: run.process.pid }, "Liveness probe failed, ending process");
    await stopProcess(run.process, markOf(pod.metadata.uid), graceMs(pod));
  }

  async function stop(pod: Pod): Promise<void> {
    const run = runs.get(pod.metadata.uid);
    const id = run?.process;
    delete run?.process;
    const mark = markOf(pod.metadata.uid);
    if (id) await stopProcess(id, mark, graceMs(pod));
    else await killMarked(mark);
  }

  async function stopAll(): Promise<void> {
    const { items } = await store.list<Pod>("Pod");
    await runEnds([() => allDone(items.map((pod) => stop(pod))), () => tellStopped(items)]);
  }

  async function tellStopped(items: readonly Pod[]): Promise<void> {
    for (const pod of items) {
      const run = runs.get(pod.metadata.uid) ?? restoredRun(pod, undefined, seconds(new Date()));
      const waiting = { reason: "OperatorStopped", message: "Started again with the operator" };
      const { kind, metadata } = pod;
      const status = podStatus(pod, { ...run, ready: false, waiting }, seconds(new Date()));
      const ref = { kind, namespace: metadata.namespace, name: metadata.name };
      await store
        .patchStatus(ref, status)
        // A pod that went away meanwhile has no status to write.
        .catch(
          (error: unknown) => error instanceof NotFoundError || log.warn({ err: error, ...ref }, "Status not written"),
        );
    }
  }

  return {
    adopt,
    stopAll,
    reconciler: {
      kind: "Pod",
      finalizer: processFinalizer,
      reconcile,
      async finalize(pod) {
        await stop(pod);
        await rm(folderOf(pod), { recursive: true, force: true });
        runs.delete(pod.metadata.uid);
        return "done";
      },
      status(pod, result) {
        if (result.kind !== "Reconciled" || result.outcome.run === undefined) return undefined;
        return podStatus(pod, result.outcome.run, result.outcome.now);
      },
      interval: () => lookMs,
      /** A crash of the operator between fork and exec leaves a process that no search can see yet. */
      async background({ wake: wakeUp, signal }) {
        wake = wakeUp;
        while (!signal.aborted) {
          await endDoubles();
          await sleep(scanMs, signal);
        }
      },
    },
  };

  async function endDoubles(): Promise<void> {
    for (const { uid, id } of await findPods(stateId)) {
      const kept = runs.get(uid)?.process;
      if (kept === undefined || (kept.pid === id.pid && kept.start === id.start) || !(await isRunning(kept))) continue;
      log.warn({ uid, pid: id.pid }, "Ending second process of a pod");
      await signalProcess(id, "SIGKILL");
    }
  }
}

/** Writes the port the pod will listen on before it is started. True when it was written, and the pod must be read again. */
async function chooseAddress(pod: Pod, store: ObjectStore): Promise<boolean> {
  const before = pod.metadata.annotations?.[adminAddressAnnotation];
  const port = await freePort(Number(before?.split(":")[1] ?? 0));
  const address = `127.0.0.1:${port}`;
  if (address === before) return false;
  const annotations = { ...pod.metadata.annotations, [adminAddressAnnotation]: address };
  await store.update<Pod>({ ...pod, metadata: { ...pod.metadata, annotations } });
  return true;
}

/** Waits for all, whatever becomes of one, and throws the first failure. */
async function allDone(works: readonly Promise<void>[]): Promise<void> {
  const failure = (await Promise.allSettled(works)).find(({ status }) => status === "rejected");
  if (failure?.status === "rejected") throw failure.reason;
}

function adminEnvironment({ metadata }: Pod): Record<string, string> {
  const [host = "", port = ""] = metadata.annotations?.[adminAddressAnnotation]?.split(":") ?? [];
  return { AUDIT_SINK__ADMIN__HOST: host, AUDIT_SINK__ADMIN__PORT: port };
}

function theContainer({ spec: { containers } }: Pod): Container {
  const [container, ...others] = containers;
  if (container === undefined || others.length > 0) {
    throw new Error(`A pod has one container here, found ${containers.length}`);
  }
  return container;
}

function programOf([word = "", ...args]: readonly string[], commands: PodRunnerOptions["commands"]): string[] {
  const program = Object.hasOwn(commands, word) ? commands[word] : undefined;
  if (program === undefined) {
    throw new Error(`Command ${JSON.stringify(word)} is not run here; allowed: ${Object.keys(commands).join(", ")}`);
  }
  return [...program, ...args];
}

const graceMs = ({ spec }: Pod) => (spec.terminationGracePeriodSeconds ?? 30) * 1_000;
