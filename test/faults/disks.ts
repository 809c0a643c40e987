import { execFileSync } from "node:child_process";
import { chownSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { goesOn, until, type World, withSuperuser } from "../stream/world.ts";
import type { Fault } from "./fault.ts";
import { SmallDisk, smallDiskUnavailable } from "./small-disk.ts";

const { escapeLiteral: literal } = pg;

export const disks = {
  tablespaceFull: { row: 27, unavailable: smallDiskUnavailable, run: tablespaceFull },
  walDiskFull: { row: 27, unavailable: smallDiskUnavailable, run: walDiskFull },
  brokerDiskFull: { row: 21, on: "OneBroker", unavailable: smallDiskUnavailable, run: brokerDiskFull },
} as const satisfies Record<string, Fault>;

/** The ids move to a small disk, that is filled: 53100 for every transaction, until there is room again. */
async function tablespaceFull(world: World): Promise<void> {
  const bytes = await withSuperuser(world, async (client) => {
    const sql = `SELECT sum(pg_total_relation_size(relid))::float8 AS bytes
      FROM pg_partition_tree('audit.event_ids') WHERE isleaf`;
    return (await client.query<{ bytes: number }>(sql)).rows[0]?.bytes ?? 0;
  });
  const disk = new SmallDisk(64 + Math.ceil((bytes * 2) / 1_048_576));
  try {
    const { uid, gid } = statSync(realpathSync(join(world.postgres.current.dir, "data")));
    chownSync(disk.path, uid, gid);
    await withSuperuser(world, (client) => client.query(`CREATE TABLESPACE small LOCATION ${literal(disk.path)}`));
    await idsOn(world, "small");
    const seen = outOfSpace(world);
    disk.fill();
    await until("the server has no space", 30_000, () => outOfSpace(world) > seen);
    await sleep(world.doses.outageMs);
    disk.free();
    await goesOn(world);
  } finally {
    disk.free();
    await idsOn(world, "pg_default");
    await withSuperuser(world, (client) => client.query("DROP TABLESPACE small"));
    disk.remove();
  }
  world.say("The tablespace of the ids was full, and has room again");
}

/** Besides the segments there are: three more. */
const WAL_ROOM_MB = 48;

/** Without room for its log the server ends all sessions, or itself (PANIC); it is started again once there is room. */
async function walDiskFull(world: World): Promise<void> {
  const { current } = world.postgres;
  const own = join(realpathSync(join(current.dir, "data")), "pg_wal");
  await current.stop();
  const { uid, gid } = statSync(own);
  const [kilobytes = "0"] = execFileSync("du", ["-sk", own], { encoding: "utf8" }).split("\t");
  const disk = new SmallDisk(WAL_ROOM_MB + Math.ceil(Number(kilobytes) / 1_024));
  chownSync(disk.path, uid, gid);
  const small = join(disk.path, "wal");
  moveWal(own, small);
  symlinkSync(small, own);
  await current.restart();
  try {
    await goesOn(world);
    const seen = outOfSpace(world);
    disk.fill();
    await until("the server has no room for its log", 60_000, async () => {
      await withSuperuser(world, (client) => client.query(NEXT_SEGMENT)).catch(() => undefined);
      return outOfSpace(world) > seen;
    });
    await sleep(world.doses.outageMs);
  } finally {
    disk.free();
    await current.stop();
    rmSync(own);
    moveWal(small, own);
    await current.restart();
    disk.remove();
  }
  world.say("The disk of the server's log was full, and has room again");
  await goesOn(world);
}

/** Those kept for use again are used up soon. */
const NEXT_SEGMENT = "SELECT pg_logical_emit_message(true, 'fault', 'filled'), pg_switch_wal()";

function moveWal(from: string, to: string): void {
  execFileSync("cp", ["-a", from, to]);
  rmSync(from, { recursive: true });
}

/** Of a partitioned table the leaves have the bytes. */
const idsOn = (world: World, tablespace: string) =>
  withSuperuser(world, async (client) => {
    const { rows } = await client.query<{ kind: string; name: string }>(`
      SELECT 'TABLE' AS kind, relid::regclass::text AS name FROM pg_partition_tree('audit.event_ids') WHERE isleaf
      UNION ALL SELECT 'INDEX', relid::regclass::text FROM pg_partition_tree('audit.event_ids_pkey') WHERE isleaf`);
    for (const { kind, name } of rows) await client.query(`ALTER ${kind} ${name} SET TABLESPACE ${tablespace}`);
  });

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
