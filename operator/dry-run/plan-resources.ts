import type { Logger } from "pino";
import { AUDIT_PIPELINE, type AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { validateResource } from "../../crds/validate.ts";
import { auditPipelineReconciler } from "../controllers/audit-pipeline.ts";
import { auditTopicReconciler } from "../controllers/audit-topic.ts";
import type { Deps } from "../controllers/deps.ts";
import { pipelineTopic } from "../desired/pipeline-topic.ts";
import type { Outcome, Reconciler, Resource, Tools } from "../runtime/controller.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import { type Problem, problemOf } from "../runtime/problems.ts";
import { recordedKafka } from "./recorded-kafka.ts";
import { recordedLedger } from "./recorded-ledger.ts";
import { recordedStore, type StoreReader } from "./recorded-store.ts";
import { type Record, recorder, type Step } from "./step.ts";

export interface Planned {
  readonly steps: readonly Step[];
  /** What stands in the way of a resource, and would as well if it were applied. */
  readonly problems: readonly { readonly resource: string; readonly reason: string; readonly message: string }[];
}

/**
 * What would change outside and inside if these resources were applied: the same reconcilers, on back-ends that only
 * answer. Topics come first, since pipelines read them; what one step would make, the next one sees.
 */
export async function planResources(
  resources: readonly (AuditTopic | AuditPipeline)[],
  reader: StoreReader,
  deps: Deps,
  log: Logger,
): Promise<Planned> {
  const notes = recorder();
  const store = recordedStore(reader, withDefaults);
  const kafkas = new Map<string, ReturnType<typeof recordedKafka>>();
  const problems: Planned["problems"][number][] = [];

  const topics = resources.filter((resource): resource is AuditTopic => resource.kind === AUDIT_TOPIC.kind);
  const pipelines = resources.filter((resource): resource is AuditPipeline => resource.kind === AUDIT_PIPELINE.kind);
  for (const resource of resources) store.imagine(resource);
  for (const topic of topics) await planOne(topic, auditTopicReconciler);
  for (const pipeline of pipelines) {
    // The first pass says which AuditTopic the pipeline makes; with that one planned, the rest can be seen.
    const found = await pass(pipeline, auditPipelineReconciler);
    const own = pipelineTopic(pipeline).owned
      ? await store.port(() => undefined).get<AuditTopic>({ kind: AUDIT_TOPIC.kind, ...pipelineTopic(pipeline) })
      : undefined;
    if (own !== undefined) await planOne(own, auditTopicReconciler);
    report(pipeline, own === undefined ? found : await pass(pipeline, auditPipelineReconciler));
  }
  return { steps: notes.steps(), problems };

  async function planOne<R extends AuditTopic>(
    resource: R,
    make: (deps: Deps) => Reconciler<R, Outcome>,
  ): Promise<void> {
    report(resource, await pass(resource, make));
  }

  /** One pass on recorded back-ends; the status it would end with is seen by the passes after it. */
  async function pass<R extends Resource>(
    resource: R,
    make: (deps: Deps) => Reconciler<R, Outcome>,
  ): Promise<readonly Problem[]> {
    const record = notes.for(nameOf(resource));
    const reconciler = make(recordedDeps(record));
    const tools: Tools<R> = {
      store: store.port(record),
      log,
      signal: new AbortController().signal,
      saveStatus: async () => resource,
      recordEvent: async () => undefined,
    };
    try {
      const outcome = await reconciler.reconcile(resource, tools);
      const status = reconciler.status(resource, { kind: "Reconciled", outcome });
      store.imagine({ ...resource, status });
      return outcome.problems ?? [];
    } catch (error) {
      return [problemOf(error)];
    }
  }

  function report(resource: Resource, found: readonly Problem[]): void {
    for (const { kind, reason, message } of found) {
      if (kind !== "Waiting" || !ONLY_LATER.has(reason)) problems.push({ resource: nameOf(resource), reason, message });
    }
  }

  function recordedDeps(record: Record): Deps {
    return {
      ...deps,
      kafka: {
        ...deps.kafka,
        to(backend) {
          const key = backend.inline?.id ?? backend.name;
          const known = kafkas.get(key) ?? recordedKafka(deps.kafka.to(backend), record);
          kafkas.set(key, known);
          return known;
        },
      },
      ledgers: (options) => recordedLedger(deps.ledgers(options), options.names.database, record),
      receipts: { ...deps.receipts, add: async () => undefined },
    };
  }
}

/** What any new pipeline waits for, and a plan cannot see come. */
const ONLY_LATER = new Set(["PodsNotReady", "DependencyNotReady", "LagUnknown", "Progressing"]);

/** An AuditTopic that a pipeline makes says only what the template says. */
function withDefaults<O extends KubeObject>(object: O): O {
  if (object.kind !== AUDIT_TOPIC.kind) return object;
  const validation = validateResource(object);
  return validation.ok ? { ...object, ...(validation.value as object) } : object;
}

const nameOf = ({ kind, metadata: { namespace, name } }: Resource) => `${kind} ${namespace}/${name}`;
