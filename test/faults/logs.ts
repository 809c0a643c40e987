import { structuredEvent } from "../stream/bodies.ts";
import type { SourceRecord } from "../stream/events.ts";
import { goesOn, readProgress, until, type World } from "../stream/world.ts";
import type { Fault } from "./fault.ts";

/** What an administrator does to the topic and its group, and records of every size there can be. */
export const logs = {
  partitionAdded: { row: 17, run: partitionAdded },
  groupForgotten: { row: 18, run: groupForgotten },
  startDeleted: { row: 18, run: startDeleted },
  sizesAtTheLimits: { row: 19, run: sizesAtTheLimits },
} as const satisfies Record<string, Fault>;

async function partitionAdded(world: World): Promise<void> {
  const { topics, producer } = world;
  await topics.addPartition();
  const partition = topics.partitions - 1;
  const records = Array.from({ length: 50 }, () => ({ ...eventOf(world, 200), partition }));
  await until("the new partition takes records", 30_000, async () => (await producer.send(records)).length > 0);
  world.say(`Partition ${partition} was added`);
  // Members look for new partitions every now and then only.
  world.churn.mode = "None";
  await world.sinks.add();
  await goesOn(world);
}

/** All sinks gone, and the group with its offsets: they go on where the ledger stands. */
async function groupForgotten(world: World): Promise<void> {
  world.churn.mode = "None";
  await allGone(world);
  await until("the group has no member any more", 30_000, async () => {
    return world.topics.forgetGroup(world.topics.source).then(
      () => true,
      () => false,
    );
  });
  await world.sinks.ensure(2);
  world.say("The group was deleted while no sink ran; its successors went on where the ledger stands");
  await goesOn(world);
}

/** Retention was faster than the sinks: what it took is written down as Gone, and everything else is stored. */
async function startDeleted(world: World): Promise<void> {
  const { topics, producer, random } = world;
  world.churn.mode = "None";
  await allGone(world);
  const partition = random.below(6);
  const first = (await readProgress(world)).get(partition)?.nextOffset ?? 0;
  await until("the log grows", 30_000, async () => ((await topics.ends())[partition] ?? 0) > first + 40);
  const end = first + 20;
  await topics.deleteBefore(partition, end);
  producer.file.appendDeleted({ partition, first, end });
  await world.sinks.ensure(2);
  world.say(`Offsets ${first} to ${end - 1} of partition ${partition} were deleted before any sink had read them`);
  await goesOn(world);
}

async function allGone({ sinks }: World): Promise<void> {
  await Promise.all(sinks.working.map((sink) => sinks.kill(sink)));
}

/** `events.maxSize` of the sinks' configuration. */
const MAX_EVENT_BYTES = 262_144;
/** `max.message.bytes` of a topic by default: a batch with its header. */
const MAX_BATCH_BYTES = 1_048_588;

/** One byte more than an event may have is poison; one byte more than a topic takes is never acknowledged. */
async function sizesAtTheLimits(world: World): Promise<void> {
  const { producer } = world;
  const over = eventOf(world, MAX_EVENT_BYTES + 1);
  const sent = await producer.send([eventOf(world, MAX_EVENT_BYTES), { ...over, id: undefined, kind: "Poison" }]);
  if (sent.length !== 2) throw new Error("Two records within the topic's limit were not acknowledged");

  // The largest dead letter there can be: nothing but the broker says where its limit is.
  let [taken, refused] = [MAX_BATCH_BYTES - 300, MAX_BATCH_BYTES];
  while (refused - taken > 1) {
    const size = (taken + refused) >>> 1;
    const [acknowledged] = await producer.send([{ ...eventOf(world, size), id: undefined, kind: "Poison" }]);
    if (acknowledged === undefined) refused = size;
    else taken = size;
  }
  world.say(`Events of ${MAX_EVENT_BYTES} and one more bytes, and poison of ${taken}; the topic takes no ${refused}`);
  await goesOn(world);
}

let made = 0;

/** A valid event whose value has exactly so many bytes. */
export function eventOf({ random }: World, bytes: number): SourceRecord {
  made += 1;
  const body = { source: "/services/sizes", type: "com.example.size", actor: 1, subject: 1 };
  const at = { ...body, id: `size-${made}-${random.hex(8)}`, time: "2026-10-01T00:00:00Z" };
  const { value, headers } = structuredEvent(random, { ...at, note: "" });
  const room = bytes - value.length - Buffer.byteLength(PADDING) - 1;
  const padding = room > 0 ? `${PADDING}${"x".repeat(room)}"` : "";
  const padded = Buffer.concat([value.subarray(0, -2), Buffer.from(padding), value.subarray(-2)]);
  return { partition: random.below(6), key: null, value: padded, headers, timestamp: 0n, id: at.id, kind: "New" };
}

const PADDING = ',"padding":"';
