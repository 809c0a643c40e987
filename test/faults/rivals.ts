import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { goesOn, until, type World, withSuperuser } from "../stream/world.ts";
import type { Fault } from "./fault.ts";

/** Others who take the ledger's locks, end its sessions, or make its statements fail. */
export const rivals = {
  sessionsEnded: { row: 26, run: sessionsEnded },
  deadlocked: { row: 26, run: deadlocked },
  lockedOut: { row: 26, run: lockedOut },
  everyErrorCode: { row: 26, run: everyErrorCode },
} as const satisfies Record<string, Fault>;

/** What the writer is called while its name is away. */
export const RENAMED = "writer_renamed_by_a_test";

/** Ends every session of the writer, on the server. @returns how many */
export async function endSessions({ database }: World, client: pg.Client): Promise<number> {
  const sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ($1, $2)";
  return (await client.query(sql, [database.writer.user, RENAMED])).rowCount ?? 0;
}

async function sessionsEnded(world: World): Promise<void> {
  const ended = await withSuperuser(world, async (client) => {
    let count = 0;
    for (let round = 0; round < 12; round += 1) {
      count += await endSessions(world, client);
      await sleep(world.random.between(50, 300));
    }
    return count;
  });
  if (ended === 0) throw new Error("There was no session to end");
  world.say(`${ended} sessions were ended by an administrator, wherever they were`);
  await goesOn(world);
}

const blockedWriters = async (client: pg.Client, { database }: World): Promise<number> => {
  const sql = "SELECT FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'";
  return (await client.query(sql, [database.writer.user])).rowCount ?? 0;
};

async function deadlocks(client: pg.Client): Promise<number> {
  const sql = "SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()";
  return (await client.query<{ deadlocks: number }>(sql)).rows[0]?.deadlocks ?? 0;
}

const ATTEMPTS = 12;

/**
 * The rival waits a minute before it looks for a deadlock: the server ends the sink's transaction, not the rival's. A sink
 * that waits for progress has put ids in, or it is a newcomer with its claim, or dies meanwhile: then once more.
 */
async function deadlocked(world: World): Promise<void> {
  await withSuperuser(world, async (rival) => {
    const before = await deadlocks(rival);
    await rival.query("SET deadlock_timeout = '60s'");
    for (let attempt = 1; !(await isCounted(rival, before)); attempt += 1) {
      if (attempt > ATTEMPTS) throw new Error(`No deadlock was counted in ${ATTEMPTS} attempts`);
      await rival.query("BEGIN");
      await rival.query("SELECT FROM audit.progress FOR UPDATE");
      await withSuperuser(world, (watcher) =>
        until("a sink waits for progress", 20_000, async () => (await blockedWriters(watcher, world)) > 0),
      );
      await rival.query("LOCK TABLE audit.event_ids IN SHARE MODE");
      await rival.query("ROLLBACK");
    }
  });
  world.say("A sink's transaction was the victim of a deadlock");
  await goesOn(world);
}

/** Backends report what they counted a second later. */
async function isCounted(rival: pg.Client, before: number): Promise<boolean> {
  for (let look = 0; look < 15; look += 1) {
    await rival.query("SELECT pg_stat_clear_snapshot()");
    if ((await deadlocks(rival)) > before) return true;
    await sleep(100);
  }
  return false;
}

/** Longer than the sink takes before it looks who blocks it: somebody else's session is not its to end. */
async function lockedOut(world: World): Promise<void> {
  await withSuperuser(world, async (rival) => {
    await rival.query("BEGIN");
    await rival.query("SELECT FROM audit.progress FOR UPDATE");
    await withSuperuser(world, (watcher) =>
      until("a sink waits for progress", 20_000, async () => (await blockedWriters(watcher, world)) > 0),
    );
    await sleep(world.doses.outageMs);
    await rival.query("COMMIT");
  });
  world.say(`progress was locked for ${world.doses.outageMs} ms while sinks waited for it`);
  await goesOn(world);
}

/** Codes that say nothing about the events, from all classes a healthy system can be in. */
const CODES = [
  ..."08006 0A000 25006 25P02 25P03 28000 40001 40P01 42501 42703 42804 42P01 53000 53100 53200 53300 53400".split(" "),
  ..."55006 55P03 57014 57P01 57P03 57P05 58000 58030 P0001 XX000 XX001 23502 23505".split(" "),
];

/** Each is raised by the server out of the sink's own statement; not one event may be taken for poison. */
async function everyErrorCode(world: World): Promise<void> {
  await withSuperuser(world, async (client) => {
    await client.query("CREATE SEQUENCE audit.fault_hits");
    const raising = (code: string) => `CREATE OR REPLACE FUNCTION audit.fault() RETURNS trigger LANGUAGE plpgsql
      SECURITY DEFINER AS $$ BEGIN
        PERFORM nextval('audit.fault_hits');
        RAISE EXCEPTION USING ERRCODE = '${code}', MESSAGE = 'raised by a test';
      END $$`;
    await client.query(raising(CODES[0] ?? ""));
    await client.query(
      "CREATE TRIGGER fault BEFORE UPDATE OF next_offset ON audit.progress FOR EACH STATEMENT EXECUTE FUNCTION audit.fault()",
    );
    const hits = async () => {
      const { rows } = await client.query<{ n: number }>(
        "SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS n FROM audit.fault_hits",
      );
      return rows[0]?.n ?? 0;
    };
    for (const code of CODES) {
      await client.query(raising(code));
      const before = await hits();
      await until(`a sink is answered with ${code}`, 20_000, async () => (await hits()) > before);
    }
    await client.query("DROP TRIGGER fault ON audit.progress");
    await client.query("DROP FUNCTION audit.fault");
    await client.query("DROP SEQUENCE audit.fault_hits");
  });
  world.say(`${CODES.length} SQLSTATEs were answered to the sinks, one after the other`);
  await goesOn(world);
}
