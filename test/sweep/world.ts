import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { loadOperatorConfig } from "../../operator/config.ts";
import { auditPipelineReconciler } from "../../operator/controllers/audit-pipeline.ts";
import { auditTopicReconciler } from "../../operator/controllers/audit-topic.ts";
import type { Receipts } from "../../operator/external/receipts.ts";
import type { Outcome, Reconciler, Resource } from "../../operator/runtime/controller.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { type Next, pass } from "../../operator/runtime/pass.ts";
import { admitResource } from "../../operator/standalone/admission.ts";
import { type EmbeddedStore, openStore } from "../../operator/standalone/embedded-store.ts";
import { fileReceipts } from "../../operator/standalone/receipts.ts";
import { pausedAnnotation } from "../../operator/standalone/standalone.ts";
import { connect } from "../../operator/wiring.ts";
import { stateFolder, writeOperatorConfig } from "../support/operator.ts";
import { kafkaConversation } from "./kafka-conversation.ts";
import { type KillPoint, Life } from "./life.ts";
import { type Applied, mortalReceipts, mortalStore } from "./mortal-store.ts";
import { postgresConversation } from "./postgres-conversation.ts";
import { mortalProxy } from "./proxy.ts";
import { clearServers, type Servers } from "./servers.ts";

/** One namespace on real servers, with a cluster of its own, in which operators live and die one after the other. */
export interface World {
  readonly namespace: string;
  readonly servers: Servers;
  /** As a user sees the cluster: nothing done here is counted. */
  readonly store: EmbeddedStore;
  readonly receipts: Receipts;
  /** How far the operators' clock is ahead of the servers'. */
  readonly clock: { aheadMs: number };
  /** Ports that are different in each world. */
  readonly ports: { readonly kafka: number; readonly postgres: number };
  /** Starts an operator, which works when it is told to. */
  start(killAt?: KillPoint): RunningOperator;
  /** Starts an operator and lets it work until nothing is left to do, for so many rounds at least, or until it dies. */
  live(options?: {
    killAt?: KillPoint;
    rounds?: number;
  }): Promise<{ readonly life: Life; readonly end: "settled" | "killed" }>;
  /** Writes as past CRDs that are older than the operator, or hold none of its rules. */
  unchecked<T>(write: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface RunningOperator {
  readonly life: Life;
  /** A pass over each resource, one after the other. */
  round(): Promise<{ readonly ends: readonly Next[]; readonly moved: boolean }>;
  /** It is dead to everybody before; this only gives back what it holds in this process. */
  stop(): Promise<void>;
}

/** An operator that has found nothing to do in this many rounds of waiting is stuck. */
const MOST_ROUNDS = 200;
/** What comes again sooner than this is waited for. */
const RESYNC_MS = 60_000;

export async function makeWorld(servers: Servers, namespace: string): Promise<World> {
  const stateDir = stateFolder();
  let checked = true;
  const store = await openStore({
    dir: stateDir,
    admit: (object, old) => (checked ? admitResource(object, old) : object),
  });
  const receipts = fileReceipts(stateDir);
  const applied: Applied = new Map();
  const clock = { aheadMs: 0 };
  let current = new Life();

  const subject = new RegExp(`${namespace}[A-Za-z0-9._-]*`, "g");
  const [kafka, postgres] = await Promise.all([
    mortalProxy(
      servers.kafka,
      () => current,
      (life, port) => kafkaConversation(life, servers.kafka, port, subject),
    ),
    mortalProxy(
      servers.postgres,
      () => current,
      (life) => postgresConversation(life, servers.postgres.admin.user),
    ),
  ]);
  const { file, remove } = writeOperatorConfig({
    kafka: { bootstrapServers: [`${servers.kafka.host}:${kafka.port}`] },
    postgres: { ...servers.postgres, port: postgres.port },
  });
  const config = loadOperatorConfig(file, {});

  const start = (killAt?: KillPoint): RunningOperator => {
    const life = new Life(killAt);
    current = life;
    const connected = connect(config, mortalReceipts(receipts, life));
    const deps = { ...connected, now: () => new Date(Date.now() + clock.aheadMs) };
    const reconcilers: Reconciler<Resource, Outcome>[] = [auditTopicReconciler(deps), auditPipelineReconciler(deps)];
    return {
      life,
      round: () => round({ store, namespace, reconcilers, life, applied }),
      async stop() {
        life.kill();
        await deps.close();
      },
    };
  };

  return {
    ...{ namespace, servers, store, receipts, clock, ports: { kafka: kafka.port, postgres: postgres.port } },

    start,

    async live({ killAt, rounds = 1 } = {}) {
      const operator = start(killAt);
      const { life } = operator;
      try {
        return { life, end: await Promise.race([settle(operator, rounds), life.killed]) };
      } finally {
        await operator.stop();
      }
    },

    async unchecked(write) {
      checked = false;
      return write().finally(() => {
        checked = true;
      });
    },

    async close() {
      current.kill();
      await Promise.all([kafka.close(), postgres.close(), store.close(), clearServers(servers, namespace)]);
      remove();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** Until a whole round changed nothing and waits for nothing. */
async function settle(operator: RunningOperator, leastRounds: number): Promise<"settled"> {
  let last: readonly Next[] = [];
  for (let rounds = 1; rounds <= MOST_ROUNDS; rounds++) {
    const { ends, moved } = await operator.round();
    last = ends;
    const rests = !moved && !ends.some(isWaiting);
    if (rests && rounds >= leastRounds) return "settled";
    if (!moved && !rests) await sleep(50);
  }
  throw new Error(`Not settled after ${MOST_ROUNDS} rounds: ${JSON.stringify(last)}`);
}

interface Round {
  readonly store: EmbeddedStore;
  readonly namespace: string;
  readonly reconcilers: readonly Reconciler<Resource, Outcome>[];
  readonly life: Life;
  readonly applied: Applied;
}

/** The loop without its clock: one pass at a time, so that the n-th write is the same one in every run. */
async function round({ store, namespace, reconcilers, life, applied }: Round) {
  const context = {
    store: mortalStore(store, life, applied),
    log: pino({ level: process.env["LOG_LEVEL"] ?? "silent" }),
    signal: new AbortController().signal,
    pausedAnnotation,
  };
  const before = life.calls.length;
  const ends: Next[] = [];
  for (const reconciler of reconcilers) {
    const { items } = await store.list<Resource>(reconciler.kind, { namespace });
    for (const { metadata } of items) ends.push(await pass(reconciler, metadata, context));
  }
  const moved = (await runPods(store, namespace)) || life.calls.length > before;
  return { ends, moved };
}

const isWaiting = (next: Next) => next.kind === "Retry" || (next.kind === "After" && next.ms < RESYNC_MS);

interface Deployment extends KubeObject {
  spec: { replicas?: number };
  status?: { observedGeneration?: number; readyReplicas?: number };
}

/** In place of pods: every Deployment is what it should be at once. */
async function runPods(store: EmbeddedStore, namespace: string): Promise<boolean> {
  const { items } = await store.list<Deployment>("Deployment", { namespace });
  let moved = false;
  for (const { kind, metadata, spec, status } of items) {
    const { replicas = 1 } = spec;
    if (status?.observedGeneration === metadata.generation && status.readyReplicas === replicas) continue;
    moved = true;
    await store.patchStatus(
      { kind, namespace, name: metadata.name },
      { observedGeneration: metadata.generation, replicas, updatedReplicas: replicas, readyReplicas: replicas },
    );
  }
  return moved;
}
