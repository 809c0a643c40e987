import { setTimeout as sleep } from "node:timers/promises";
import { poison } from "../stream/poison.ts";
import type { Sink } from "../stream/sinks.ts";
import {
  goesOn,
  progressOf,
  readProgress,
  rememberFurthest,
  until,
  type World,
  withSuperuser,
} from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import type { Held, Trap } from "./postgres-proxy.ts";

/** Sinks stopped at chosen points of a transaction, answers lost, a ledger that went back. */
export const transactions = {
  /** Longer than the session timeout, then continued: its transaction must be refused. */
  zombie: { row: 16, run: (world) => freeze(world, "BeforeSettle", "continue") },
  frozenInsideCopy: { row: 16, run: (world) => freeze(world, "InsideCopy", "kill") },
  frozenInsideCopyThenContinued: { row: 16, run: (world) => freeze(world, "InsideCopy", "continue") },
  frozenBetweenStatements: { row: 16, run: (world) => freeze(world, "AfterIds", "continue") },
  newcomerFrozenBetweenStatements: { row: 16, run: freezeNewcomer },
  frozenBeforeCommit: { row: 16, run: (world) => freeze(world, "BeforeCommit", "continue") },
  commitAnswerLost: { row: 25, run: commitAnswerLost },
  postgresKilled: { row: 23, run: postgresKilled },
  setBack: { row: 24, run: setBack },
  deadLettersUnwritable: { row: 19, run: deadLettersUnwritable },
  terminatedInFlush: { row: 41, run: terminatedInFlush },
} as const satisfies Record<string, Fault>;

/** Each of them, and the short ones more often. */
export const fullSchedule: readonly (keyof typeof transactions)[] = [
  ...(Object.keys(transactions) as (keyof typeof transactions)[]),
  "commitAnswerLost",
  "commitAnswerLost",
  "commitAnswerLost",
  "postgresKilled",
  "setBack",
];

/** How long another sink may take to write where a frozen one left off. */
const SUCCESSOR_MS = 60_000;
const TRAP_MS = 60_000;
const HOLDS_LOCKS: readonly Trap[] = ["AfterIds", "BeforeCommit"];

/** Holds the next sink that gets to the trap. The connection is held before the sink is stopped, so it is stopped there. */
export async function trapAny(
  world: World,
  trap: Trap,
  freezeIt: boolean,
  candidates: () => Sink[] = () => world.sinks.working,
): Promise<{ sink: Sink; held: Held }> {
  const sprung = Promise.withResolvers<{ sink: Sink; held: Promise<Held> }>();
  const armed = new Set<Sink>();
  const arm = (sink: Sink) => {
    armed.add(sink);
    const held = sink.proxy.arm(trap, () => {
      if (freezeIt) sink.freeze();
      for (const other of armed) if (other !== sink) other.proxy.disarm();
      sprung.resolve({ sink, held });
    });
  };
  let caught: { sink: Sink; held: Promise<Held> } | undefined;
  void sprung.promise.then((value) => {
    caught = value;
  });
  try {
    await until(`no sink got to ${trap}`, TRAP_MS, () => {
      // Others may have joined, or been killed, since.
      if (caught === undefined) for (const sink of candidates()) if (!armed.has(sink)) arm(sink);
      return caught !== undefined;
    });
  } finally {
    if (caught === undefined) for (const sink of armed) sink.proxy.disarm();
  }
  const { sink, held } = await sprung.promise;
  return { sink, held: await held };
}

async function freeze(world: World, trap: Trap, then: "continue" | "kill"): Promise<void> {
  // A successor of one that holds locks waits for them too: it is not disturbed on top.
  world.churn.mode = HOLDS_LOCKS.includes(trap) ? "None" : "Joins";
  await showSuccessor(world, trap, then, await trapAny(world, trap, true));
}

/** The sinks that take over were connected before the frozen one: it is not by its age that it can be told. */
async function freezeNewcomer(world: World): Promise<void> {
  world.churn.mode = "None";
  const newcomer = await world.sinks.add();
  const caught = await trapAny(world, "AfterIds", true, () => [newcomer]);
  await showSuccessor(world, "AfterIds", "continue", caught);
}

async function showSuccessor(
  world: World,
  trap: Trap,
  then: "continue" | "kill",
  { sink, held }: { sink: Sink; held: Held },
): Promise<void> {
  const ends = await world.topics.ends();
  const before = await readProgress(world);
  const behind = [...before].filter(([partition, { nextOffset }]) => nextOffset < (ends[partition] ?? 0));
  await world.sinks.ensure(2);
  const tookMs = await until(`others write where ${sink.name} was stopped at ${trap}`, SUCCESSOR_MS, async () => {
    const now = await readProgress(world);
    return behind.every(([partition, { nextOffset }]) => (now.get(partition)?.nextOffset ?? 0) > nextOffset);
  });
  world.say(
    `${sink.name} stopped at ${trap}; others went on in ${behind.length} partitions after ${Math.round(tookMs)} ms`,
  );

  if (then === "kill") {
    await world.sinks.kill(sink);
    return;
  }
  // The server answers while the sink is still stopped: the refusal is the server's, not the client's own timeout.
  const answer = held.resume();
  await Promise.race([answer, sleep(2_000)]);
  sink.thaw();
  const code = await answer;
  world.say(`${sink.name} continued; its transaction was answered with ${code || "COMMIT"}`);
  if (code === "") throw new Error(`${sink.name}, stopped at ${trap} and replaced, could still commit`);
}

async function commitAnswerLost(world: World): Promise<void> {
  const { sink } = await trapAny(world, "CommitAnswerLost", false);
  world.say(`${sink.name} was not told that its transaction is committed`);
}

/** The grace is over before what is under way can be. */
async function terminatedInFlush(world: World): Promise<void> {
  world.churn.mode = "None";
  const { sink, held } = await trapAny(world, "BeforeSettle", false);
  const code = await world.sinks.terminate(sink, 1_000);
  held.cut();
  await world.sinks.ensure(2);
  world.say(`${sink.name} was told to end in the middle of a flush, killed after a second (${code}); all went on`);
  await goesOn(world);
}

async function postgresKilled(world: World): Promise<void> {
  const { current } = world.postgres;
  await current.kill();
  await sleep(world.doses.outageMs);
  await current.restart();
  world.say(`PostgreSQL was killed and back after ${world.doses.outageMs} ms`);
}

/**
 * What a promoted replica that lagged does: rows, ids and progress are as they were a while ago, all at once, under sinks
 * that know nothing of it.
 */
async function setBack(world: World): Promise<void> {
  await withSuperuser(world, async (client) => {
    await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await client.query("DROP SCHEMA IF EXISTS replica CASCADE");
    await client.query("CREATE SCHEMA replica");
    for (const table of ["progress", "event_ids"])
      await client.query(`CREATE TABLE replica.${table} AS TABLE audit.${table}`);
    await client.query("COMMIT");
  });
  const before = await readProgress(world);
  const settled = (progress: typeof before) =>
    [...progress.values()].reduce((sum, { nextOffset }) => sum + nextOffset, 0);
  await until(
    "1000 more offsets are settled",
    120_000,
    async () => settled(await readProgress(world)) > settled(before) + 1_000,
  );

  const lost = await withSuperuser(world, async (client) => {
    await client.query("SET synchronous_commit = on");
    await client.query("BEGIN");
    // In the order a sink takes them. A transaction under way is waited for; later ones see the old state.
    for (const table of TABLES) await client.query(`LOCK TABLE audit.${table} IN EXCLUSIVE MODE`);
    rememberFurthest(world, await progressOf(client));
    let rows = 0;
    for (const table of ["events", "skipped", "conflicts"]) {
      const { rowCount } =
        await client.query(`DELETE FROM audit.${table} t WHERE NOT EXISTS (SELECT FROM replica.progress p
        WHERE p.topic_id = t.topic_id AND p.partition = t.partition AND t."offset" < p.next_offset)`);
      rows += rowCount ?? 0;
    }
    await client.query(
      "DELETE FROM audit.event_ids i WHERE NOT EXISTS (SELECT FROM replica.event_ids r WHERE r.key = i.key)",
    );
    await client.query("DELETE FROM audit.progress");
    await client.query("INSERT INTO audit.progress SELECT * FROM replica.progress");
    await client.query("COMMIT");
    return rows;
  });
  world.say(`The ledger went back by ${lost} rows under the running sinks`);
}

const TABLES = ["events", "skipped", "conflicts", "event_ids", "progress"];

/** Poison holds its own partition and no other, for as long as it cannot be put aside. */
async function deadLettersUnwritable(world: World): Promise<void> {
  const { topics, producer, random, hold, say } = world;
  hold.poison = true;
  const ends = await topics.ends();
  await until("the stream's own poison is out of the way", 60_000, async () => {
    const progress = await readProgress(world);
    return ends.every((end, partition) => (progress.get(partition)?.nextOffset ?? 0) >= end);
  });
  await topics.setDeadLettersWritable(false);
  await sleep(1_500);

  const partition = random.below(topics.partitions);
  const record = { ...poison(random, 0), partition, key: null, timestamp: 0n, id: undefined, kind: "Poison" as const };
  const [acknowledged] = await producer.send([record]);
  if (acknowledged === undefined) throw new Error("The poison was not acknowledged");
  const reached = async (of: number) => (await readProgress(world)).get(of)?.nextOffset ?? 0;
  await until(
    "the partition gets to the poison",
    90_000,
    async () => (await reached(partition)) >= acknowledged.offset,
  );

  const others = await topics.ends();
  const tookMs = await until("the other partitions go on meanwhile", 90_000, async () => {
    const progress = await readProgress(world);
    return others.every((end, other) => other === partition || (progress.get(other)?.nextOffset ?? 0) >= end);
  });
  await sleep(Math.max(0, 4_000 - tookMs));
  const at = await reached(partition);
  if (at !== acknowledged.offset)
    throw new Error(`Partition ${partition} stands at ${at}, its poison is at ${acknowledged.offset}`);

  await topics.setDeadLettersWritable(true);
  const heldMs = await until("the partition goes on once dead letters can be written", 60_000, async () => {
    return (await reached(partition)) > acknowledged.offset;
  });
  say(
    `Partition ${partition} stood at its poison while the others went on, and left it ${Math.round(heldMs)} ms after`,
  );
}
