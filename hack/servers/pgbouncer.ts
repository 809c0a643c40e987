import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPgbouncer } from "./install-pgbouncer.ts";
import { freePorts } from "./ports.ts";
import { type Login, serverUser } from "./postgres.ts";
import { launch, type Running } from "./server.ts";

export interface PoolerOptions {
  /** The server behind it. */
  readonly server: { readonly host: string; readonly port: number };
  /** Who may log in: with these it logs in to the server, too. */
  readonly logins: readonly Login[];
  readonly poolMode: PoolMode;
}

/** For how long a client has a session of the server to itself. */
export type PoolMode = "session" | "transaction";

export interface Pooler {
  readonly host: string;
  readonly port: number;
  /** What it said so far is here. */
  readonly logFile: string;
  /** SIGKILL, and another on the same port. */
  restart(poolMode: PoolMode): Promise<void>;
  remove(): Promise<void>;
}

const LOOPBACK = "127.0.0.1";

/** PgBouncer before a PostgreSQL, with every setting at its default that is not about who, where and which mode. */
export async function startPgbouncer({ server, logins, poolMode }: PoolerOptions): Promise<Pooler> {
  const { command, env } = await installPgbouncer();
  const [port = 0] = await freePorts(1);
  const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-pgbouncer-"));
  const [config, users] = ["pgbouncer.ini", "users.txt"].map((name) => join(dir, name)) as [string, string];
  const logFile = join(dir, "pgbouncer.log");
  writeFileSync(
    users,
    logins.map(({ user, password }) => `${JSON.stringify(user)} ${JSON.stringify(password)}\n`).join(""),
  );
  const user = serverUser();

  const start = (mode: PoolMode): Promise<Running> => {
    const settings = {
      listen_addr: LOOPBACK,
      listen_port: port,
      unix_socket_dir: "",
      auth_type: "scram-sha-256",
      auth_file: users,
      pool_mode: mode,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(config, `[databases]\n* = host=${server.host} port=${server.port}\n[pgbouncer]\n${lines.join("")}`);
    for (const file of [dir, config, users]) if (user !== undefined) chownSync(file, user.uid, user.gid);
    return launch({
      ...{ kind: "pgbouncer", command, args: [config], env, cwd: dir, logFile },
      ...(user === undefined ? {} : { user }),
      ...{ readyLine: "process up", readyWithinMs: 10_000, stopSignal: "SIGINT", lifetime: "parent" },
      disposable: [dir],
    });
  };
  let running = await start(poolMode);
  return {
    host: LOOPBACK,
    port,
    logFile,
    async restart(mode) {
      await running.kill();
      running = await start(mode);
    },
    async remove() {
      await running.kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
