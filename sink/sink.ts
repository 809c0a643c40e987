import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CircuitState } from "cockatiel";
import type { Logger } from "pino";
import { type AdminServer, serveAdmin } from "./admin.ts";
import { uuidBytes } from "./chain.ts";
import type { SinkConfig } from "./config.ts";
import { Consumer } from "./consume.ts";
import { DeadLetters } from "./dead-letters.ts";
import { followEndOffsets } from "./end-offsets.ts";
import { Gate } from "./gate.ts";
import type { EventLogReader, EventLogWriter, KafkaClient, KafkaConnection } from "./kafka/port.ts";
import { type TroubleReason, troubleOf, troubleReasons } from "./kafka/trouble.ts";
import { LinkWatch } from "./link-watch.ts";
import { type PartitionGauge, sinkMetrics } from "./metrics.ts";
import { Partitions } from "./partitions.ts";
import { expiryBoundaryMs } from "./retention.ts";
import { Settler } from "./settle.ts";
import type { Ledger } from "./stores/ledger.ts";
import { storeTroubleOf, storeTroubleReasons } from "./stores/trouble.ts";
import { watchedLedger } from "./stores/watched.ts";

export interface SinkDeps {
  readonly config: SinkConfig;
  readonly kafka: KafkaClient;
  readonly ledger: Ledger;
  readonly log: Logger;
  /** Which pod this is: the Kafka client id. */
  readonly instance: string;
  /** How often it is looked whether the topic is still the one that was opened. Default 30 s. */
  readonly topicIdCheckMs?: number;
}

/** A sink from start to end; `stop` drains it. */
export interface RunningSink {
  readonly adminPort: number;
  /** Resolves when the sink has stopped in order; rejects on what only a restart can help against. */
  readonly done: Promise<void>;
  stop(): void;
}

/** A ledger is seldom put back, and the look costs one small query. */
const COMPARE_EVERY_MS = 5_000;
const TOPIC_ID_CHECK_MS = 30_000;
const START_RETRY_MS = 2_000;

/** Puts the parts together. Liveness answers from the first moment on, whatever the back-ends do. */
export async function startSink(given: SinkDeps): Promise<RunningSink> {
  const { config, log } = given;
  const watch = new LinkWatch(log, { server: "Kafka", reasons: troubleReasons, troubleOf });
  const store = new LinkWatch(log, {
    server: "PostgreSQL",
    reasons: storeTroubleReasons,
    troubleOf: storeTroubleOf,
  });
  const deps = { ...given, ledger: watchedLedger(given.ledger, (failures) => store.see(failures)) };
  const state: State = { watch, ready: false, stopping: new AbortController(), abandon: new AbortController() };
  const metrics = sinkMetrics(config.pipeline, {
    queued: () => state.consumer?.queued ?? 0,
    partitions: () => gauges(state.partitions),
    kafkaTrouble: () => watch.reasons,
    storeTrouble: () => store.reasons,
  });
  const { registry } = metrics;
  const trouble = () => `${watch.text}${store.text}`;
  const admin = await serveAdmin({ ...config.admin, registry, isReady: () => state.ready, trouble });
  log.info({ host: config.admin.host, port: admin.port }, "Admin server listens");

  const done = run(deps, state, metrics).finally(() => close(state, admin));
  return {
    adminPort: admin.port,
    done,
    stop() {
      if (state.stopping.signal.aborted) return;
      log.info({ drainTimeoutMs: config.drainTimeout }, "Draining");
      state.stopping.abort();
      state.consumer?.stop();
      setTimeout(() => state.abandon.abort(), config.drainTimeout).unref();
    },
  };
}

interface State {
  readonly watch: LinkWatch<TroubleReason>;
  ready: boolean;
  /** Fetch no more. */
  readonly stopping: AbortController;
  /** Wait for nothing any more. */
  readonly abandon: AbortController;
  consumer?: Consumer;
  partitions?: Partitions;
  reader?: EventLogReader;
  writer?: EventLogWriter;
}

async function run(deps: SinkDeps, state: State, metrics: ReturnType<typeof sinkMetrics>): Promise<void> {
  const { config, kafka, ledger, log } = deps;
  const { signal } = state.abandon;
  const gate = new Gate(config.delivery, {
    stateChanged: (breaker) => {
      metrics.breaker(breaker);
      if (breaker === CircuitState.Open)
        log.error({ openForMs: config.delivery.circuitBreaker.openFor }, "Circuit breaker open");
      else log.info({ state: CircuitState[breaker] }, "Circuit breaker changed");
    },
    failed: ({ message, code }, attempt, retryAfterMs) => {
      metrics.storeFailed();
      log.warn({ reason: message, code, attempt, retryAfterMs: Math.round(retryAfterMs) }, "Store failed");
    },
  });
  const reader = kafka.createReader(connection(deps), readerOptions(config));
  state.reader = reader;
  const opened = await untilWorks(
    () => openExpected(reader, config.source),
    "Cannot open the topic yet",
    log,
    state.stopping.signal,
    (failure) => state.watch.start(failure),
  );
  if (opened === undefined) return;
  const { topicId } = opened;
  if (
    !(await untilWorks(() => ledger.open().then(() => true), "Cannot open the store yet", log, state.stopping.signal))
  )
    return;

  const source = { sink: config.pipeline.sink, topic: config.source.topic, topicId };
  state.writer = kafka.createWriter(connection(deps));
  const deadLetters = new DeadLetters(state.writer, config.source.deadLetterTopic, source);
  const topic = uuidBytes(topicId);
  const partitions = new Partitions({ topicId: topic, reader, ledger, gate, log, signal });
  state.partitions = partitions;
  const settler = new Settler({
    topicId: topic,
    ledger,
    gate,
    deadLetters,
    log,
    expiresBeforeMs: expiry(config),
    isOurs: (partition, epoch) => partitions.isOurs(partition, epoch),
    written: (plan, seconds) => metrics.written(plan, seconds, Date.now()),
  });
  const consumer = new Consumer({
    reader,
    partitions,
    settler,
    codec: { ...config.events, tenant: tenantOf(config) },
    limits: config.delivery,
    log,
    signal,
    revokeTimeoutMs: Math.min(10_000, config.kafka.rebalanceTimeout / 2),
    compareEveryMs: COMPARE_EVERY_MS,
    decoded: metrics.decoded,
    untrustedTime: once(() => {
      metrics.untrustedTime();
      log.warn(
        { reason: "RecordTimeUntrusted", topic: config.source.topic },
        "Records have no append time of the broker",
      );
    }),
  });
  state.consumer = consumer;
  void state.watch.follow(() => failuresOf(reader, partitions, deadLetters), signal);
  const joined = untilWorks(() => joinGroup(reader, consumer), "The group is refused", log, state.stopping.signal);
  if (!(await Promise.race([joined, aborted(state.stopping.signal)]))) return;
  state.ready = true;
  log.info({ topic: config.source.topic, topicId, groupId: config.source.groupId }, "Audit system initialized");

  const { topicIdCheckMs = TOPIC_ID_CHECK_MS } = deps;
  const watched = watchTopicId(reader, topicId, topicIdCheckMs, log, state.stopping.signal);
  void followEndOffsets(reader, partitions, log, signal);
  const drained = consumer.run().then(() => true);
  if (await Promise.race([drained, watched, aborted(signal)])) log.info({}, "Drained");
  // The drain took too long: the successor reads it again.
  else log.warn({}, "Left what is not settled to the successor");
}

/** A right that is missing may be given while we wait; whatever else a group is refused for only a new start can change. */
async function joinGroup(reader: EventLogReader, { handlers }: Consumer): Promise<true> {
  try {
    await reader.join(handlers);
    return true;
  } catch (error) {
    if (troubleOf(error)?.reason !== "KafkaAuthorizationFailed") throw new HopelessError("", { cause: error });
    await reader.leave();
    throw error;
  }
}

class HopelessError extends Error {}

function failuresOf(reader: EventLogReader, partitions: Partitions, deadLetters: DeadLetters): unknown[] {
  return [...reader.failures(), ...[...partitions.all].map(({ readFailure }) => readFailure), deadLetters.failure];
}

/** A topic that was deleted and made again has other records at the offsets that are settled: that is for a person to decide. */
async function openExpected(reader: EventLogReader, { topic, topicId: expected }: SinkConfig["source"]) {
  const opened = await reader.open();
  if (expected === undefined || opened.topicId === expected) return opened;
  throw new Error(
    `Topic ${topic} has id ${opened.topicId}, not ${expected}: somebody deleted it and made another; nothing of it is read`,
  );
}

/** Rejects once the topic is another one: its offsets mean something else, so only a new start with the new id is right. */
async function watchTopicId(
  reader: EventLogReader,
  topicId: string,
  everyMs: number,
  log: Logger,
  signal: AbortSignal,
): Promise<never> {
  for (;;) {
    try {
      await sleep(everyMs, undefined, { signal });
    } catch {
      // Stopping: the consumer decides when it is over.
      return new Promise<never>(() => undefined);
    }
    const current = await reader.currentTopicId().catch(() => topicId);
    if (current === topicId) continue;
    log.error({ topicId, current }, "Topic was deleted and made again");
    throw new Error(`The topic is another one: ${current} in place of ${topicId}`);
  }
}

const aborted = (signal: AbortSignal): Promise<false> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(false);
    signal.addEventListener("abort", () => resolve(false), { once: true });
  });

async function untilWorks<T>(
  work: () => Promise<T>,
  message: string,
  log: Logger,
  signal: AbortSignal,
  failed: (failure: unknown) => void = () => undefined,
): Promise<T | undefined> {
  while (!signal.aborted) {
    try {
      const done = await Promise.race([work(), aborted(signal).then(() => undefined)]);
      failed(undefined);
      return done;
    } catch (error) {
      if (error instanceof HopelessError) throw error.cause;
      failed(error);
      log.warn({ err: error, retryAfterMs: START_RETRY_MS }, message);
      await sleep(START_RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return undefined;
}

async function close(state: State, admin: AdminServer): Promise<void> {
  state.ready = false;
  state.stopping.abort();
  state.abandon.abort();
  // A reader that is closed answers at once: who went on asking would let nothing else of the process run.
  state.consumer?.stop();
  await state.reader?.leave().catch(() => undefined);
  await state.reader?.close().catch(() => undefined);
  await state.writer?.close().catch(() => undefined);
  await admin.close();
}

function* gauges(partitions: Partitions | undefined): Iterable<PartitionGauge> {
  for (const { number, lag, held } of partitions?.all ?? []) yield { number, lag, held };
}

function expiry({ store: { retention } }: SinkConfig): (() => bigint) | undefined {
  return retention && (() => expiryBoundaryMs(Date.now(), retention.months));
}

function tenantOf({ events, pipeline }: SinkConfig): string | undefined {
  return events.tenantFrom === "Header" ? undefined : (events.tenant ?? pipeline.namespace);
}

function readerOptions({ kafka, source }: SinkConfig) {
  return {
    topic: source.topic,
    groupId: source.groupId,
    sessionTimeoutMs: kafka.sessionTimeout,
    rebalanceTimeoutMs: kafka.rebalanceTimeout,
    heartbeatIntervalMs: kafka.heartbeatInterval,
    maxBytesPerPartition: kafka.fetchBytesPerPartition,
    maxBytes: 2 * kafka.fetchBytesPerPartition,
    maxDecodedBatchBytes: kafka.maxDecodedBatchBytes,
  };
}

const mechanisms = { Plain: "PLAIN", ScramSha256: "SCRAM-SHA-256", ScramSha512: "SCRAM-SHA-512" } as const;

function connection({ config: { kafka }, instance }: SinkDeps): KafkaConnection {
  const { tls, sasl } = kafka;
  const file = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path, "utf8"));
  const given = tls && {
    ca: file(tls.caFile),
    cert: file(tls.certFile),
    key: file(tls.keyFile),
    serverName: tls.serverName,
  };
  return {
    clientId: instance,
    bootstrapServers: kafka.bootstrapServers,
    ...(given && { tls: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }),
    ...(sasl && { sasl: { ...sasl, mechanism: mechanisms[sasl.mechanism] } }),
  };
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    work();
  };
}
