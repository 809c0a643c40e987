import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { backoffMs, jitterMs, sleep } from "./backoff.ts";
import type { BackgroundTools, Key, Outcome, Reconciler, Resource } from "./controller.ts";
import type { ControllerMetrics } from "./metrics.ts";
import type { KubeObject, ObjectStore } from "./object-store.ts";
import { type Next, PassTimeoutError, pass } from "./pass.ts";
import { problemOf, StandingProblems } from "./problems.ts";
import { WorkQueue } from "./queue.ts";
import { runWatch, type Seen } from "./watch.ts";

export interface RunOptions {
  store: ObjectStore;
  log: Logger;
  /** Stops the loop; passes under way see it as `tools.signal`. */
  signal: AbortSignal;
  pausedAnnotation: string;
  metrics?: ControllerMetrics;
  /** The namespaces whose resources are worked on; all when empty or absent. */
  namespaces?: readonly string[];
  /** Resources worked on at the same time. */
  concurrency?: number;
  /** Back-off of failing passes. */
  backoff?: { baseMs: number; maxMs: number };
  /** How long one pass may take before it is told to end and counts as failed. */
  passTimeoutMs?: number;
  /** How long a stalled resource is left alone. */
  stalledResyncMs?: number;
  relistMs?: number;
}

export interface RunningController {
  wake(key: Key): void;
  /** False when a watch has shown no life for three relists: the process should be restarted. */
  alive(): boolean;
  /** The kind and everything it watches has been listed once. */
  synced(): boolean;
  /** Resolves when the signal is aborted and no pass is under way. */
  stopped: Promise<void>;
}

/** Runs one reconciler until the signal is aborted. */
export function runController<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  options: RunOptions,
): RunningController {
  const { store, signal, metrics, concurrency = 4, relistMs = 600_000 } = options;
  const log = options.log.child({ controller: reconciler.kind });
  const failures = new Map<string, number>();
  const lastSeen = new Map<string, number>();

  const queue = new WorkQueue({
    concurrency,
    work: (id, leaveSlot) => work(id, leaveSlot),
    ...(metrics && { observer: metrics.queue }),
  });

  const standing = new StandingProblems(metrics?.problems);
  const { passTimeoutMs = 300_000 } = options;

  const work = async (id: string, leaveSlot: () => void): Promise<void> => {
    const passLog = log.child(keyOf(id));
    const start = performance.now();
    const limit = new AbortController();
    const timer = setTimeout(() => {
      const error = new PassTimeoutError(passTimeoutMs);
      limit.abort(error);
      standing.update(id, [problemOf(error)], passLog);
      metrics?.reconciled("error", performance.now() - start, false);
      leaveSlot();
    }, passTimeoutMs);
    metrics?.active(1);
    const context = { ...options, log: passLog, signal: AbortSignal.any([signal, limit.signal]) };
    const next = await pass(reconciler, keyOf(id), context);
    clearTimeout(timer);
    metrics?.active(-1);
    if (!limit.signal.aborted) metrics?.reconciled(resultOf(next), performance.now() - start, isStalled(next));
    if (!(next.kind === "Retry" && next.movedOn)) standing.update(id, next.problems ?? [], passLog);
    schedule(id, next);
  };

  const schedule = (id: string, next: Next): void => {
    if (next.kind !== "Retry") failures.delete(id);
    if (next.kind === "After") queue.addAfter(id, jitterMs(next.ms));
    if (next.kind === "Await") queue.addAfter(id, jitterMs(options.stalledResyncMs ?? 1_800_000));
    if (next.kind !== "Retry" || signal.aborted) return;
    const count = (failures.get(id) ?? 0) + 1;
    failures.set(id, count);
    const backoff = backoffMs(count, options.backoff ?? { baseMs: 500, maxMs: 300_000 });
    const waitMs = Math.min(backoff, next.atMostMs ?? backoff);
    const what = next.movedOn ? "Resource moved on, reading it again" : "Trying again after a failure";
    log.debug({ ...keyOf(id), waitMs }, what);
    metrics?.retried();
    queue.addAfter(id, waitMs);
  };

  const { namespaces = [] } = options;
  const wake = ({ namespace, name }: Key): void => {
    if (namespaces.length === 0 || namespaces.includes(namespace)) queue.add(`${namespace}/${name}`);
  };
  const scopes = namespaces.length === 0 ? [undefined] : namespaces;
  const idsOf = (kind: string) => scopes.map((namespace) => `${kind}/${namespace ?? ""}`);
  /** One watch for all namespaces, or one for each: rights on some namespaces are then enough. */
  const watch = (
    kind: string,
    labels: Record<string, string> | undefined,
    onChange: (object: KubeObject, before: Seen | undefined, deleted: boolean) => void,
  ) =>
    scopes.map((namespace) =>
      runWatch({
        ...{ store, kind, signal, log, relistMs, onChange },
        scope: { ...(namespace !== undefined && { namespace }), ...(labels && { labels }) },
        onAlive: () => {
          lastSeen.set(`${kind}/${namespace ?? ""}`, performance.now());
          metrics?.alive(kind);
        },
      }),
    );

  const watched = [reconciler.kind, ...(reconciler.watches ?? []).map(({ kind }) => kind)].flatMap(idsOf);
  const running = [
    ...watch(reconciler.kind, undefined, (object, before, deleted) => {
      if (!deleted && wakes(object, before)) wake(object.metadata);
    }),
    ...(reconciler.watches ?? []).flatMap(({ kind, labels, map }) =>
      watch(kind, labels, (object) => {
        // Through a promise, so that a mapping that throws ends up in the log and not in the watch.
        void Promise.resolve()
          .then(() => map(object, store))
          .then((keys) => keys.forEach(wake))
          .catch((error: unknown) => log.error({ err: error, kind }, "Mapping to owner failed"));
      }),
    ),
    background(reconciler, { store, wake, signal, log }),
  ];

  const started = performance.now();
  return {
    wake,
    synced: () => watched.every((id) => lastSeen.has(id)),
    alive: () => watched.every((id) => performance.now() - (lastSeen.get(id) ?? started) < 3 * relistMs),
    stopped: Promise.all(running).then(() => queue.stop()),
  };
}

/** The status moves resourceVersion alone, so it is not among these. */
function wakes({ metadata: now }: Seen, before: Seen | undefined): boolean {
  if (before === undefined || before.metadata.uid !== now.uid) return true;
  const { metadata: then } = before;
  return (
    now.generation !== then.generation ||
    now.deletionTimestamp !== then.deletionTimestamp ||
    !isDeepStrictEqual(now.annotations ?? {}, then.annotations ?? {}) ||
    !isDeepStrictEqual(now.finalizers ?? [], then.finalizers ?? [])
  );
}

async function background<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  tools: BackgroundTools,
): Promise<void> {
  const { signal, log } = tools;
  for (let failures = 1; reconciler.background !== undefined && !signal.aborted; failures += 1) {
    try {
      await reconciler.background(tools);
      return;
    } catch (error) {
      const waitMs = backoffMs(failures, { baseMs: 1_000, maxMs: 60_000 });
      log.error({ err: error, waitMs }, "Background work failed");
      await sleep(waitMs, signal);
    }
  }
}

function resultOf(next: Next): "success" | "requeue_after" | "error" {
  if (isStalled(next)) return "error";
  if (next.kind === "After") return "requeue_after";
  return next.kind === "Retry" ? "error" : "success";
}

const isStalled = ({ problems = [] }: Next) => problems.some(({ kind }) => kind === "Stalled");

/** Names hold no slash. */
function keyOf(id: string): Key {
  const [namespace = "", name = ""] = id.split("/");
  return { namespace, name };
}
