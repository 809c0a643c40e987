import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { StalledError, WaitingError } from "../errors.ts";
import type { Key, Outcome, Reconciler, Resource, Result, Tools } from "./controller.ts";
import { ConflictError, NotFoundError, type ObjectStore } from "./object-store.ts";
import { type Problem, problemOf } from "./problems.ts";

/** When to look at a key again, and what stood in the way. */
export type Next = When & { readonly problems?: readonly Problem[] };

type When =
  /** Nothing left to look at. */
  | { kind: "Forget" }
  | { kind: "After"; ms: number }
  /** Only a change of generation or annotations, or the long resync, brings it back. */
  | { kind: "Await" }
  /** With back-off. `movedOn`: only the resource itself changed under the pass, which is no failure. */
  | { kind: "Retry"; movedOn: boolean; atMostMs?: number };

export interface PassContext {
  store: ObjectStore;
  log: Logger;
  signal: AbortSignal;
  /** Set to anything but "false", nothing is reconciled; a deletion goes on all the same. */
  pausedAnnotation: string;
}

/** One look at one resource: finalizer, reconcile or finalize, status. Never throws. */
export async function pass<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  key: Key,
  context: PassContext,
): Promise<Next> {
  try {
    const found = await context.store.get<R>({ kind: reconciler.kind, ...key });
    if (found === undefined) return { kind: "Forget" };
    const view = viewOf(found, context);
    if (found.metadata.deletionTimestamp !== undefined) return await finalize(reconciler, view, context);
    if (isPaused(found, context)) return await writeStatus(reconciler, view, { kind: "Paused" });
    await ensureFinalizer(reconciler.finalizer, view, context.store);
    return await writeStatus(reconciler, view, await attempt(reconciler, view));
  } catch (error) {
    // The store failed, or somebody else changed the resource meanwhile: read it again.
    if (error instanceof ConflictError) return { kind: "Retry", movedOn: true };
    return { kind: "Retry", movedOn: false, problems: [problemOf(cutShort(context.signal) ?? error)] };
  }
}

/** The resource as this pass knows it: moves on with each of its own writes. */
interface View<R extends Resource> {
  current: R;
  tools: Tools<R>;
}

function viewOf<R extends Resource>(found: R, { store, log, signal }: PassContext): View<R> {
  const { kind, metadata } = found;
  const { namespace, name, uid } = metadata;
  const view: View<R> = {
    current: found,
    tools: {
      store,
      log,
      signal,
      async saveStatus(status) {
        const { resourceVersion } = view.current.metadata;
        view.current = await store.patchStatus<R>({ kind, namespace, name }, status, { resourceVersion });
        return view.current;
      },
      recordEvent: (event) => store.recordEvent({ ...event, regarding: { kind, namespace, name, uid } }),
    },
  };
  return view;
}

async function attempt<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  { current, tools }: View<R>,
): Promise<Result<O>> {
  try {
    return { kind: "Reconciled", outcome: await reconciler.reconcile(current, tools) };
  } catch (error) {
    return { kind: "Failed", error: cutShort(tools.signal) ?? error };
  }
}

async function finalize<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  view: View<R>,
  context: PassContext,
): Promise<Next> {
  const { finalizer } = reconciler;
  const present = view.current.metadata.finalizers ?? [];
  if (finalizer === undefined || !present.includes(finalizer)) return { kind: "Forget" };
  try {
    await reconciler.finalize?.(view.current, view.tools);
  } catch (error) {
    const cause = cutShort(context.signal) ?? error;
    return await writeStatus(reconciler, view, { kind: "FinalizeBlocked", error: cause });
  }
  const finalizers = (view.current.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  await context.store
    .update<R>({ ...view.current, metadata: { ...view.current.metadata, finalizers } })
    .catch((error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error;
    });
  return { kind: "Forget" };
}

async function ensureFinalizer<R extends Resource>(
  name: string | undefined,
  view: View<R>,
  store: ObjectStore,
): Promise<void> {
  const { metadata } = view.current;
  if (name === undefined || metadata.finalizers?.includes(name)) return;
  const finalizers = [...(metadata.finalizers ?? []), name];
  view.current = await store.update<R>({ ...view.current, metadata: { ...metadata, finalizers } });
}

async function writeStatus<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  view: View<R>,
  result: Result<O>,
): Promise<Next> {
  const before = view.current;
  const next = plain(reconciler.status(before, result));
  if (next !== undefined && !isDeepStrictEqual(next, plain(before.status))) {
    await view.tools.saveStatus(next);
    await recordTransition(before.status, next, result, view.tools);
  }
  return nextAfter(reconciler, view.current, result);
}

function nextAfter<R extends Resource, O extends Outcome>(
  reconciler: Reconciler<R, O>,
  resource: R,
  result: Result<O>,
): Next {
  if (result.kind === "Paused") return { kind: "Await" };
  if (result.kind === "Reconciled") {
    const { requeueAfterMs: atMostMs, problems = [] } = result.outcome;
    if (problems.some(({ kind }) => kind === "Failed")) {
      return { kind: "Retry", movedOn: false, ...(atMostMs === undefined ? {} : { atMostMs }), problems };
    }
    return { kind: "After", ms: atMostMs ?? reconciler.interval(resource), problems };
  }
  const { error } = result;
  const problems = [problemOf(error)];
  if (error instanceof WaitingError) return { kind: "After", ms: error.requeueAfterMs, problems };
  if (error instanceof StalledError) return { kind: "Await", problems };
  return { kind: "Retry", movedOn: false, problems };
}

/** The pass ran into its time limit: the error says more than whatever broke off because of it. */
export class PassTimeoutError extends Error {
  override readonly name = "PassTimeoutError";
  constructor(limitMs: number) {
    super(`The pass took longer than ${limitMs / 1000} s and was told to end; nothing is done here until it does`);
  }
}

const cutShort = ({ reason }: AbortSignal): PassTimeoutError | undefined =>
  reason instanceof PassTimeoutError ? reason : undefined;

interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
}

/** An event only when Ready gets another reason: a settled or a still failing resource says nothing. */
async function recordTransition<R extends Resource>(
  before: unknown,
  after: unknown,
  result: Result<Outcome>,
  tools: Tools<R>,
): Promise<void> {
  const ready = readyOf(after);
  if (ready === undefined || ready.reason === readyOf(before)?.reason) return;
  await tools.recordEvent({
    type: ready.status === "False" ? "Warning" : "Normal",
    reason: ready.reason,
    action: result.kind === "FinalizeBlocked" ? "Delete" : "Reconcile",
    note: ready.message,
  });
}

function readyOf(status: unknown): Condition | undefined {
  const conditions = (status as { conditions?: Condition[] } | undefined)?.conditions;
  return conditions?.find(({ type }) => type === "Ready");
}

function isPaused({ metadata }: Resource, { pausedAnnotation }: PassContext): boolean {
  const value = metadata.annotations?.[pausedAnnotation];
  return value !== undefined && value !== "false";
}

/** As it will be read back: without undefined members. */
const plain = (value: unknown): unknown =>
  value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
