import { backoffMs } from "../runtime/backoff.ts";
import type { ProcessId } from "./processes.ts";
import { dated } from "./rollout.ts";
import type { Condition, ContainerStatus, Exit, Pod, PodStatus } from "./workload-types.ts";

/** What the runner knows of one pod's process. */
export interface Run {
  process?: ProcessId;
  /** RFC 3339: when the present process was started. */
  startedAt: string;
  restarts: number;
  lastExit?: Exit;
  /** Exits in a row that came soon after the start. */
  crashes: number;
  /** Not started again before this time of `performance.now()`. */
  nextStart: number;
  /** The startup probe has succeeded: from now on the liveness probe counts. */
  started: boolean;
  ready: boolean;
  readinessFailures: number;
  livenessFailures: number;
  nextLiveness: number;
  /** Why there is no process. */
  waiting: { reason: string; message: string };
}

export interface RestartPolicy {
  baseMs: number;
  maxMs: number;
  /** A process that ran longer starts the back-off anew. */
  steadyMs: number;
}

/** Ten minutes of steady running forgive earlier crashes, as the kubelet does. */
export const restartPolicy: RestartPolicy = { baseMs: 1_000, maxMs: 300_000, steadyMs: 600_000 };

/** What the last operator wrote down about the pod. A process it saw running and that is not there any more, died. */
export function restoredRun({ status }: Pod, found: ProcessId | undefined, now: string): Run {
  const before = status?.containerStatuses[0];
  const lastExit = before?.lastState?.terminated;
  const running = before !== undefined && "running" in before.state ? before.state.running : undefined;
  const run: Run = {
    startedAt: running?.startedAt ?? now,
    restarts: before?.restartCount ?? 0,
    ...(lastExit && { lastExit }),
    ...{ crashes: 0, nextStart: 0, started: before?.ready ?? false, ready: before?.ready ?? false },
    ...{ readinessFailures: 0, livenessFailures: 0, nextLiveness: 0 },
    waiting: { reason: "ContainerCreating", message: "Not started yet" },
  };
  if (found !== undefined) return { ...run, process: found };
  run.ready = false;
  if (running === undefined) return run;
  const exit: Exit = { reason: "Unknown", startedAt: running.startedAt, finishedAt: now };
  return { ...run, restarts: run.restarts + 1, lastExit: exit };
}

/** The process is gone: when it is started again, and why not now. */
export function recordExit(
  run: Run,
  exit: { code: number | null; signal: NodeJS.Signals | null } | undefined,
  now: Date,
  policy: RestartPolicy,
): void {
  const ranMs = now.getTime() - Date.parse(run.startedAt);
  run.crashes = ranMs > policy.steadyMs ? 1 : run.crashes + 1;
  const waitMs = backoffMs(run.crashes, policy);
  run.lastExit = exitOf(run.startedAt, exit, now);
  delete run.process;
  run.restarts += 1;
  run.ready = false;
  run.nextStart = performance.now() + waitMs;
  const how = exit?.signal ?? (exit === undefined ? "unseen" : `code ${exit.code}`);
  run.waiting = {
    reason: "CrashLoopBackOff",
    message: `Exited (${how}); started again after a back-off of up to ${Math.round(policy.maxMs / 1000)} s`,
  };
}

function exitOf(startedAt: string, exit: Parameters<typeof recordExit>[1], now: Date): Exit {
  const times = { startedAt, finishedAt: seconds(now) };
  if (exit === undefined) return { reason: "Unknown", ...times };
  return {
    ...(exit.code !== null && { exitCode: exit.code }),
    ...(exit.signal !== null && { signal: exit.signal }),
    reason: exit.code === 0 ? "Completed" : "Error",
    ...times,
  };
}

/** As a kubelet reports it, for the one container. Pure. */
export function podStatus(pod: Pod, run: Run, now: string): PodStatus {
  const { process } = run;
  const container: ContainerStatus = {
    name: pod.spec.containers[0]?.name ?? "",
    ready: run.ready,
    restartCount: run.restarts,
    ...(process && { containerID: `process://${process.pid}/${process.start}` }),
    state: process ? { running: { startedAt: run.startedAt } } : { waiting: run.waiting },
    ...(run.lastExit && { lastState: { terminated: run.lastExit } }),
  };
  const before = pod.status?.conditions ?? [];
  return {
    phase: process ? "Running" : "Pending",
    startTime: pod.status?.startTime ?? now,
    conditions: [dated(readyCondition(run), before, now)],
    containerStatuses: [container],
  };
}

function readyCondition({ ready, process, waiting }: Run): Omit<Condition, "lastTransitionTime"> {
  if (ready) return { type: "Ready", status: "True", reason: "PodReady", message: "The readiness probe succeeds" };
  const message = process ? "The readiness probe does not succeed yet" : `${waiting.reason}: ${waiting.message}`;
  return { type: "Ready", status: "False", reason: "ContainersNotReady", message };
}

export const seconds = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`;
