import { cpus, loadavg, totalmem } from "node:os";
import type { Verdict } from "./ledger.ts";
import type { LimitName } from "./limits.ts";
import type { PacedResult } from "./paced.ts";
import type { Percentiles } from "./percentiles.ts";
import type { Round, SinkResult } from "./phases.ts";
import type { Settings } from "./settings.ts";
import type { Sample } from "./sink-process.ts";

export interface Results {
  readonly rounds: readonly Round[];
  readonly flat: SinkResult | undefined;
  readonly paced: PacedResult | undefined;
}

export interface MedianAndWorst {
  readonly median: number;
  readonly worst: number;
}

export const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const higherIsBetter = (values: readonly number[]): MedianAndWorst => ({
  median: medianOf(values),
  worst: Math.min(...values),
});
const lowerIsBetter = (values: readonly number[]): MedianAndWorst => ({
  median: medianOf(values),
  worst: Math.max(...values),
});

/** What a run found, as it is printed and as JSON. A ratio is that of two figures of one round. */
export function summary(settings: Settings, { rounds, flat, paced }: Results) {
  return {
    bench: "sink",
    at: new Date().toISOString(),
    machine: {
      cpus: cpus().length,
      model: cpus()[0]?.model,
      memoryGib: Math.round(totalmem() / 2 ** 30),
      load: loadavg()[0],
    },
    node: process.version,
    settings,
    compared: rounds.length === 0 ? undefined : comparison(settings, rounds),
    flat: flat && {
      events: settings.millions * 1e6,
      rate: flat.rate,
      cpuSecondsPerMillion: flat.cpuPerMillion,
      peakResidentMb: flat.peakMb,
      ...flatness(flat.samples),
    },
    paced: paced && {
      perSecond: paced.perSecond,
      cpuSecondsPerMillion: paced.cpuPerMillion,
      latencyMs: paced.latency,
      transactions: paced.transactions,
      directCopyMs: paced.directCopy,
    },
    ...total([...rounds.map(({ sink }) => sink), ...[flat, paced].filter((phase) => phase !== undefined)]),
  };
}

export type Summary = ReturnType<typeof summary>;

function comparison(settings: Settings, rounds: readonly Round[]) {
  const ratioTo = (name: LimitName) => higherIsBetter(rounds.map(({ sink, limits }) => sink.rate / limits[name].rate));
  const sinks = rounds.map(({ sink }) => sink);
  const perMillion = (cpu: number) => (cpu / settings.events) * 1e6;
  const limitOf = (name: LimitName) => ({
    rate: medianOf(rounds.map(({ limits }) => limits[name].rate)),
    serverCpuPerMillion: medianOf(rounds.map(({ limits }) => perMillion(limits[name].serverCpu))),
  });
  return {
    ratios: { "direct-copy": ratioTo("direct-copy"), staged: ratioTo("staged") },
    rate: higherIsBetter(sinks.map(({ rate }) => rate)),
    limits: { "direct-copy": limitOf("direct-copy"), staged: limitOf("staged") },
    cpuSecondsPerMillion: lowerIsBetter(sinks.map((sink) => sink.cpuPerMillion)),
    serverCpuPerMillion: lowerIsBetter(sinks.map((sink) => perMillion(sink.serverCpu))),
    peakResidentMb: lowerIsBetter(sinks.map((sink) => sink.peakMb)),
  };
}

/** Resident memory in the second quarter and in the last one: where it is flat they are alike. */
function flatness(samples: readonly Sample[]) {
  const quarter = (from: number) =>
    samples.slice(Math.floor(samples.length * from), Math.floor(samples.length * (from + 0.25)));
  const mean = (part: readonly Sample[]) => part.reduce((sum, { residentMb }) => sum + residentMb, 0) / part.length;
  return { residentMbSecondQuarter: mean(quarter(0.25)), residentMbLastQuarter: mean(quarter(0.75)) };
}

function total(verdicts: readonly Verdict[]): Verdict {
  const sum = (name: keyof Verdict) => verdicts.reduce((all, verdict) => all + verdict[name], 0);
  return { lost: sum("lost"), doubled: sum("doubled"), altered: sum("altered") };
}

const inMs = (found: Percentiles) =>
  Object.entries(found)
    .map(([name, ms]) => `${name} ${ms.toFixed(0)} ms`)
    .join(", ");

export function print(found: Summary): void {
  const { compared, flat, paced } = found;
  const lines = [
    ...(compared === undefined ? [] : comparisonLines(compared)),
    ...(flat === undefined
      ? []
      : [
          `over ${flat.events} events: peak ${flat.peakResidentMb.toFixed(0)} MB, second quarter ${flat.residentMbSecondQuarter.toFixed(0)} MB, ` +
            `last quarter ${flat.residentMbLastQuarter.toFixed(0)} MB; ${flat.rate.toFixed(0)} rows/s, ${flat.cpuSecondsPerMillion.toFixed(1)} CPU s per million`,
        ]),
    ...(paced === undefined
      ? []
      : [
          `at ${paced.perSecond} events/s, from produce to the committed row: ${inMs(paced.latencyMs)}; ` +
            `${paced.cpuSecondsPerMillion.toFixed(1)} CPU s per million`,
          `direct COPY of the same ${paced.transactions} transactions, each when it was due: ${inMs(paced.directCopyMs)}`,
        ]),
    `lost ${found.lost}, doubled ${found.doubled}, altered ${found.altered}`,
    ...Object.entries(compared?.ratios ?? {}).map(([name, { median }]) => `ratio to ${name}: ${median.toFixed(2)}`),
    `BENCH ${JSON.stringify(found, (_, value: unknown) => (typeof value === "number" ? Number(value.toPrecision(5)) : value))}`,
  ];
  console.log(lines.join("\n"));
}

function comparisonLines(compared: ReturnType<typeof comparison>): string[] {
  const { ratios, rate, limits, cpuSecondsPerMillion, serverCpuPerMillion, peakResidentMb } = compared;
  const both = ({ median, worst }: MedianAndWorst, digits: number) =>
    `${median.toFixed(digits)} (worst ${worst.toFixed(digits)})`;
  return [
    `sink: ${both(rate, 0)} rows/s`,
    ...Object.entries(limits).map(([name, limit]) => `${name}: ${limit.rate.toFixed(0)} rows/s`),
    ...Object.entries(ratios).map(([name, { worst }]) => `worst ratio to ${name}: ${worst.toFixed(2)}`),
    `CPU of the sink: ${both(cpuSecondsPerMillion, 1)} s per million events`,
    `CPU of its backend: ${both(serverCpuPerMillion, 1)} s per million; ${Object.entries(limits)
      .map(([name, limit]) => `${name} ${limit.serverCpuPerMillion.toFixed(1)}`)
      .join(", ")}`,
    `resident memory of the sink, peak: ${both(peakResidentMb, 0)} MB`,
  ];
}
