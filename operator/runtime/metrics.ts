import { Counter, Gauge, Histogram, type Registry } from "@prometheus-io/client";
import type { ProblemObserver } from "./problems.ts";
import type { QueueObserver } from "./queue.ts";

export type ReconcileResult = "success" | "requeue_after" | "error";

/** What one controller reports, under controller-runtime's metric names. */
export interface ControllerMetrics {
  queue: QueueObserver;
  problems: ProblemObserver;
  reconciled(result: ReconcileResult, tookMs: number, terminal: boolean): void;
  active(delta: 1 | -1): void;
  retried(): void;
  /** A list or an event of the watched kind arrived. */
  alive(kind: string): void;
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Registers the metrics once; the function answers one controller's view of them. */
export function controllerMetrics(registry: Registry): (controller: string, concurrency: number) => ControllerMetrics {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Gauge({ name, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Histogram({ name, help, labelNames, registers, buckets: seconds });

  const total = counter("controller_runtime_reconcile_total", "Passes by result", ["controller", "result"]);
  const errors = counter("controller_runtime_reconcile_errors_total", "Passes that failed", ["controller"]);
  const terminal = counter("controller_runtime_terminal_reconcile_errors_total", "Passes that stalled", ["controller"]);
  const time = histogram("controller_runtime_reconcile_time_seconds", "Length of a pass", ["controller"]);
  const workers = gauge("controller_runtime_active_workers", "Passes going on", ["controller"]);
  const max = gauge("controller_runtime_max_concurrent_reconciles", "Passes at the same time at most", ["controller"]);
  const depth = gauge("workqueue_depth", "Keys waiting", ["name", "controller"]);
  const adds = counter("workqueue_adds_total", "Keys added", ["name", "controller"]);
  const retries = counter("workqueue_retries_total", "Keys added again after a failure", ["name", "controller"]);
  const waited = histogram("workqueue_queue_duration_seconds", "Wait in the queue", ["name", "controller"]);
  const worked = histogram("workqueue_work_duration_seconds", "Work on a key", ["name", "controller"]);
  const problemLabels = ["controller", "kind", "reason"];
  const met = counter("audit_pipeline_reconcile_problems_total", "Problems that passes met", problemLabels);
  const standing = gauge("audit_pipeline_resource_problems", "Problems that resources have now", problemLabels);
  const last = new Map<string, number>();
  new Gauge({
    name: "audit_pipeline_watch_last_event_age_seconds",
    help: "Time since a list or an event of the watched kind arrived",
    labelNames: ["controller", "kind"],
    registers,
    collect() {
      for (const [key, at] of last) {
        const [controller = "", kind = ""] = key.split("/");
        this.set({ controller, kind }, (performance.now() - at) / 1000);
      }
    },
  });

  return (controller, concurrency) => {
    const labels = { name: controller, controller };
    max.set({ controller }, concurrency);
    depth.set(labels, 0);
    return {
      queue: {
        added: (waiting) => {
          adds.inc(labels);
          depth.set(labels, waiting);
        },
        started: (waiting, ms) => {
          depth.set(labels, waiting);
          waited.observe(labels, ms / 1000);
        },
        finished: (ms) => worked.observe(labels, ms / 1000),
      },
      problems: {
        problem: ({ kind, reason }) => met.inc({ controller, kind, reason }),
        standing: ({ kind, reason }, delta) => standing.inc({ controller, kind, reason }, delta),
      },
      reconciled: (result, ms, isTerminal) => {
        total.inc({ controller, result });
        time.observe({ controller }, ms / 1000);
        if (result === "error") errors.inc({ controller });
        if (isTerminal) terminal.inc({ controller });
      },
      active: (delta) => workers.inc({ controller }, delta),
      retried: () => retries.inc(labels),
      alive: (kind) => last.set(`${controller}/${kind}`, performance.now()),
    };
  };
}
