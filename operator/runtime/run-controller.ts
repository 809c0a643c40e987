import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { backoffMs, jitterMs, sleep } from "./backoff.ts";
import type { Key, Outcome, Reconciler, Resource } from "./controller.ts";
import type { ControllerMetrics } from "./metrics.ts";
import type { KubeObject, ObjectStore } from "./object-store.ts";
import { type Next, pass } from "./pass.ts";
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
    work: (id) => work(id),
    ...(metrics && { observer: metrics.queue }),
  });

  const work = async (id: string): Promise<void> => {
    const key = keyOf(id);
    const start = performance.now();
    metrics?.active(1);
    const next = await pass(reconciler, key, { ...options, log: log.child(key) });
    metrics?.active(-1);
    metrics?.reconciled(resultOf(next), performance.now() - start, next.kind === "Await" && next.stalled);
    schedule(id, next);
  };

  const schedule = (id: string, next: Next): void => {
    if (next.kind !== "Retry") failures.delete(id);
    if (next.kind === "After") queue.addAfter(id, jitterMs(next.ms));
    if (next.kind === "Await") queue.addAfter(id, jitterMs(options.stalledResyncMs ?? 1_800_000));
    if (next.kind !== "Retry" || signal.aborted) return;
    const count = (failures.get(id) ?? 0) + 1;
    failures.set(id, count);
    const waitMs = backoffMs(count, options.backoff ?? { baseMs: 500, maxMs: 300_000 });
    if (next.movedOn) log.debug({ ...keyOf(id), waitMs }, "Resource moved on, reading it again");
    else log.error({ err: next.error, ...keyOf(id), waitMs }, "Reconcile failed");
    metrics?.retried();
    queue.addAfter(id, waitMs);
  };

  const { namespaces = [] } = options;
  const wake = ({ namespace, name }: Key): void => {
    if (namespaces.length === 0 || namespaces.includes(namespace)) queue.add(`${namespace}/${name}`);
  };
  const watch = (kind: string, onChange: (object: KubeObject, before: Seen | undefined, deleted: boolean) => void) =>
    runWatch({
      ...{ store, kind, signal, log, relistMs, onChange },
      onAlive: () => {
        lastSeen.set(kind, performance.now());
        metrics?.alive(kind);
      },
    });

  const kinds = [reconciler.kind, ...(reconciler.watches ?? []).map(({ kind }) => kind)];
  const running = [
    watch(reconciler.kind, (object, before, deleted) => {
      if (!deleted && wakes(object, before)) wake(object.metadata);
    }),
    ...(reconciler.watches ?? []).map(({ kind, map }) =>
      watch(kind, (object) => {
        // Through a promise, so that a mapping that throws ends up in the log and not in the watch.
        void Promise.resolve()
          .then(() => map(object, store))
          .then((keys) => keys.forEach(wake))
          .catch((error: unknown) => log.error({ err: error, kind }, "Mapping to owner failed"));
      }),
    ),
    background(reconciler, wake, signal, log),
  ];

  const started = performance.now();
  return {
    wake,
    synced: () => kinds.every((kind) => lastSeen.has(kind)),
    alive: () => kinds.every((kind) => performance.now() - (lastSeen.get(kind) ?? started) < 3 * relistMs),
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
  wake: (key: Key) => void,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  for (let failures = 1; reconciler.background !== undefined && !signal.aborted; failures += 1) {
    try {
      await reconciler.background(wake, signal);
      return;
    } catch (error) {
      const waitMs = backoffMs(failures, { baseMs: 1_000, maxMs: 60_000 });
      log.error({ err: error, waitMs }, "Background work failed");
      await sleep(waitMs, signal);
    }
  }
}

function resultOf(next: Next): "success" | "requeue_after" | "error" {
  if (next.kind === "After") return "requeue_after";
  return next.kind === "Retry" || (next.kind === "Await" && next.stalled) ? "error" : "success";
}

/** Names hold no slash. */
function keyOf(id: string): Key {
  const [namespace = "", name = ""] = id.split("/");
  return { namespace, name };
}
