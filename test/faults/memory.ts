import { goesOn, until, type World } from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import { eventOf } from "./logs.ts";
import { MemoryGroup, memoryGroupUnavailable } from "./memory-group.ts";

/** What a container's memory limit does to a sink. */
export const memory = {
  memoryLimited: { row: 46, unavailable: memoryGroupUnavailable, run: memoryLimited },
  memoryExhausted: { row: 46, unavailable: memoryGroupUnavailable, run: memoryExhausted },
} as const satisfies Record<string, Fault>;

const MEBI = 1_048_576;
/** With a sink's settings at their defaults it needs no more: docs/workloads.md. */
const ENOUGH_BYTES = 256 * MEBI;
const TOO_LITTLE_MEBI = [96, 80, 64];
const EVENT_BYTES = 262_144;

/** Whatever waits in the log, in whatever form, a sink with that limit gets through it and is not killed once. */
async function memoryLimited(world: World): Promise<void> {
  const { sinks } = world;
  await allGone(world);
  await largeBacklog(world, 12);
  const groups = [new MemoryGroup(ENOUGH_BYTES), new MemoryGroup(ENOUGH_BYTES)];
  const limited = await Promise.all(groups.map((group) => sinks.add(group)));
  await goesOn(world, 120_000);
  const peaks = limited.map(({ peakBytes }) => Math.round(peakBytes / MEBI));
  const kills = groups.reduce((sum, group) => sum + group.kills, 0);
  await Promise.all(limited.map((sink) => sinks.terminate(sink)));
  await Promise.all(groups.map((group) => group.remove()));
  if (kills > 0) throw new Error(`With ${ENOUGH_BYTES} bytes the kernel killed ${kills} sinks`);
  world.say(
    `Two sinks got through events and dead letters of the largest size with ${peaks.join(" and ")} MiB at most`,
  );
  await sinks.ensure(2);
}

/** With far too little the kernel kills one after the other; the first one with enough finds everything. */
async function memoryExhausted(world: World): Promise<void> {
  const { sinks, churned } = world;
  await allGone(world);
  await largeBacklog(world, 4);
  let kills = 0;
  for (const mebi of TOO_LITTLE_MEBI) {
    const group = new MemoryGroup(mebi * MEBI);
    const sink = await sinks.add(group);
    sinks.mayEnd(sink);
    await until(`a sink with ${mebi} MiB ends`, 20_000, () => !sink.running).catch(() => sinks.kill(sink));
    kills += group.kills;
    await group.remove();
  }
  if (kills === 0) throw new Error("The kernel killed no sink");
  churned.kills += kills;
  world.say(`The kernel killed ${kills} of ${TOO_LITTLE_MEBI.length} sinks for their memory`);
  await sinks.ensure(2);
  await goesOn(world, 120_000);
}

async function allGone({ sinks, churn }: World): Promise<void> {
  churn.mode = "None";
  await Promise.all(sinks.working.map((sink) => sinks.kill(sink)));
}

/** Many small events, the largest events and dead letters there can be, and batches of a few bytes that hold 16 MiB. */
async function largeBacklog(world: World, rounds: number): Promise<void> {
  const { producer, random } = world;
  for (let round = 0; round < rounds; round += 1) {
    const partition = random.below(6);
    const events = (count: number, bytes: number) =>
      Array.from({ length: count }, () => ({ ...eventOf(world, bytes), partition }));
    await producer.send(events(3_000, 300), "gzip");
    await producer.send(events(3, EVENT_BYTES));
    await producer.send([{ ...eventOf(world, 1_000_000), partition, id: undefined, kind: "Poison" }]);
    await producer.send(events(64, EVENT_BYTES), random.pick(["gzip", "zstd"]));
  }
}
