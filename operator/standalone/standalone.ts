import { randomUUID } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Outcome, Reconciler, Resource } from "../runtime/controller.ts";
import type { ControllerMetrics } from "../runtime/metrics.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import { type RunningController, runController } from "../runtime/run-controller.ts";
import type { Admit } from "./admit.ts";
import { deploymentReconciler } from "./deployments.ts";
import { type EmbeddedStore, openStore } from "./embedded-store.ts";
import { writeDurably } from "./object-files.ts";
import type { RestartPolicy } from "./pod-run.ts";
import { podRunner } from "./pods.ts";
import { runEnds } from "./run-ends.ts";
import { lockState } from "./state-lock.ts";

export interface StandaloneOptions {
  stateDir: string;
  log: Logger;
  /** Defaults and validates the resources. */
  admit?: Admit;
  /** The controllers that work on the store, besides the one that runs pods. */
  reconcilers(store: ObjectStore): readonly Reconciler<Resource, Outcome>[];
  /** What the command words of a container start here. */
  commands: Record<string, readonly string[]>;
  metrics?: (controller: string, concurrency: number) => ControllerMetrics;
  concurrency?: number;
  /** The namespaces these controllers work on; all when empty. */
  namespaces?: readonly string[];
  restart?: RestartPolicy;
}

export interface Standalone {
  store: EmbeddedStore;
  controllers: readonly RunningController[];
  /** Ends the controllers, then the pods unless they are to be left running, then gives the folder back. */
  stop(options?: { leavePods?: boolean }): Promise<void>;
}

export const pausedAnnotation = "auditpipeline.io/paused";

/** Looking at pods is waiting, not work. */
const podConcurrency = 64;

/** Takes the state folder and runs it. Throws LockedError when another process has it. */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const { stateDir, log, admit, commands, restart, metrics, concurrency = 4 } = options;
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await chmod(stateDir, 0o700);
  const unlock = await lockState(stateDir);
  const onError = (error: unknown) => log.error({ err: error }, "Store failed in the background");
  const store = await openStore({ dir: stateDir, onError, ...(admit && { admit }) });
  const stateId = await stateIdOf(stateDir);
  const pods = podRunner({ store, log, dir: stateDir, stateId, commands, ...(restart && { restart }) });
  await pods.adopt();

  const stopping = new AbortController();
  const run = <R extends Resource, O extends Outcome>(
    reconciler: Reconciler<R, O>,
    workers: number,
    namespaces: readonly string[] = [],
  ) =>
    runController(reconciler, {
      ...{ store, log, signal: stopping.signal, pausedAnnotation, concurrency: workers, namespaces },
      ...(metrics && { metrics: metrics(reconciler.kind.toLowerCase(), workers) }),
    });
  const controllers = [
    run(pods.reconciler, podConcurrency),
    run(deploymentReconciler(), concurrency),
    ...options.reconcilers(store).map((reconciler) => run(reconciler, concurrency, options.namespaces)),
  ];

  return {
    store,
    controllers,
    async stop({ leavePods = false } = {}) {
      stopping.abort();
      await runEnds([
        () => Promise.all(controllers.map(({ stopped }) => stopped)),
        async () => leavePods || (await pods.stopAll()),
        () => store.close(),
        unlock,
      ]);
    },
  };
}

/** Made once per folder: by it the processes of this folder are told from those of another. */
async function stateIdOf(dir: string): Promise<string> {
  const path = join(dir, "id");
  const present = await readFile(path, "utf8").catch(() => undefined);
  if (present !== undefined) return present.trim();
  const id = randomUUID();
  await writeDurably(path, `${id}\n`);
  return id;
}
