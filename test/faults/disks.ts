import { chownSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { goesOn, until, type World, withSuperuser } from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import { SmallDisk, smallDiskUnavailable } from "./small-disk.ts";

const { escapeLiteral: literal } = pg;

export const disks = {
  tablespaceFull: { row: 27, unavailable: smallDiskUnavailable, run: tablespaceFull },
  brokerDiskFull: { row: 21, on: "OneBroker", unavailable: smallDiskUnavailable, run: brokerDiskFull },
} as const satisfies Record<string, Fault>;

/** The ids move to a small disk, that is filled: 53100 for every transaction, until there is room again. */
async function tablespaceFull(world: World): Promise<void> {
  const bytes = await withSuperuser(world, async (client) => {
    const sql = "SELECT pg_total_relation_size('audit.event_ids')::float8 AS bytes";
    return (await client.query<{ bytes: number }>(sql)).rows[0]?.bytes ?? 0;
  });
  const disk = new SmallDisk(64 + Math.ceil((bytes * 2) / 1_048_576));
  try {
    const { uid, gid } = statSync(realpathSync(join(world.postgres.current.dir, "data")));
    chownSync(disk.path, uid, gid);
    await withSuperuser(world, async (client) => {
      await client.query(`CREATE TABLESPACE small LOCATION ${literal(disk.path)}`);
      await move(client, "small");
    });
    const seen = outOfSpace(world);
    disk.fill();
    await until("the server has no space", 30_000, () => outOfSpace(world) > seen);
    await sleep(world.doses.outageMs);
    disk.free();
    await goesOn(world);
    await withSuperuser(world, async (client) => {
      await move(client, "pg_default");
      await client.query("DROP TABLESPACE small");
    });
  } finally {
    disk.remove();
  }
  world.say("The tablespace of the ids was full, and has room again");
}

async function move(client: pg.Client, tablespace: string): Promise<void> {
  await client.query(`ALTER TABLE audit.event_ids SET TABLESPACE ${tablespace}`);
  await client.query(`ALTER INDEX audit.event_ids_pkey SET TABLESPACE ${tablespace}`);
}

const outOfSpace = ({ postgres }: World): number =>
  readFileSync(postgres.current.logFile, "utf8").split("No space left on device").length;

/** A broker without room for its log ends itself; it is started again once there is room. */
async function brokerDiskFull(world: World): Promise<void> {
  const { disk, brokers } = world.log;
  const [broker] = brokers;
  if (disk === undefined || broker === undefined) throw new Error("The broker has no small disk");
  const unknown = world.producer.unknown;
  disk.fill();
  await until("the broker takes no records", 60_000, () => world.producer.unknown > unknown);
  await sleep(world.doses.outageMs);
  disk.free();
  await broker.restart();
  world.say("The broker's disk was full; it has room again, and the broker was started again");
  await goesOn(world, 90_000);
}
