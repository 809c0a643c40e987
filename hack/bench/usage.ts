import { readFileSync } from "node:fs";

/** A clock tick of proc_pid_stat(5) is 10 ms on every Linux there is (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** User and system time of a process and its threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export const residentMb = (pid: number): number => statusMb(pid, "VmRSS");
export const peakResidentMb = (pid: number): number => statusMb(pid, "VmHWM");

function statusMb(pid: number, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return (Number(found?.[1]) * 1024) / 1e6;
}
