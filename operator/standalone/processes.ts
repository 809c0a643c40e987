import { readdir, readFile } from "node:fs/promises";

/** A process of this boot; the start time tells it from a later one with the same pid. */
export interface ProcessId {
  pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  start: string;
}

/** The start time of a living process; undefined when there is none or only its zombie. */
export async function processStart(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  // The command name, in parentheses, may hold spaces and parentheses itself.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return state === "Z" || state === "X" ? undefined : fields[18];
}

export async function isRunning({ pid, start }: ProcessId): Promise<boolean> {
  return (await processStart(pid)) === start;
}

/** Sends the signal unless the process is gone or its pid now belongs to another. */
export async function signalProcess(id: ProcessId, signal: NodeJS.Signals): Promise<void> {
  if (!(await isRunning(id))) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Every process whose environment holds `name`, by the value found. Processes of other users are not seen. */
export async function findByEnvironment(name: string): Promise<(ProcessId & { value: string })[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const found = await Promise.all(pids.map((pid) => environmentOf(pid, name)));
  return found.filter((process) => process !== undefined);
}

async function environmentOf(pid: number, name: string): Promise<(ProcessId & { value: string }) | undefined> {
  if (pid === process.pid) return undefined;
  const start = await processStart(pid);
  const environ = start && (await readFile(`/proc/${pid}/environ`, "latin1").catch(() => undefined));
  const entry = environ?.split("\0").find((text) => text.startsWith(`${name}=`));
  // Read again: between the two reads the pid may have gone to another process.
  if (!start || entry === undefined || (await processStart(pid)) !== start) return undefined;
  return { pid, start, value: entry.slice(name.length + 1) };
}

/** The session a process belongs to: the pid of the process that began it. */
export async function sessionOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const session = stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[3];
  return session === undefined ? undefined : Number(session);
}
