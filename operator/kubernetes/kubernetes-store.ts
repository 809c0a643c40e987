import { createHash } from "node:crypto";
import type {
  ApplyConfiguration,
  Draft,
  KubeObject,
  ListOptions,
  ObjectRef,
  ObjectStore,
  WatchEvent,
  WatchOptions,
} from "../runtime/object-store.ts";
import { NotFoundError } from "../runtime/object-store.ts";
import type { ApiClient } from "./api-client.ts";
import { type ApiStatus, errorOf } from "./api-errors.ts";
import { applyTo, isApplied, type Stored, statedOnly } from "./apply.ts";
import { eventRecorder } from "./event-recorder.ts";
import { apiVersionOf, pathOf } from "./kinds.ts";

interface ObjectList {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly Omit<KubeObject, "apiVersion" | "kind">[];
}

export interface StoreOptions {
  readonly api: ApiClient;
  /** Under which name updates and status writes are recorded. */
  readonly fieldManager: string;
  /** The namespaces it may see, when not all: a list of "all" is then made of theirs. */
  readonly namespaces?: readonly string[];
  /** What recording an event came to, when it failed. */
  readonly onError?: (error: unknown) => void;
}

const PAGE = 500;
/** The server ends a watch after this long by itself; the loop lists and watches anew. */
const WATCH_SECONDS = 1_800;

/** The port to Kubernetes on a real API server. */
export function kubernetesStore({ api, fieldManager, namespaces = [], onError }: StoreOptions): ObjectStore {
  const settled = new Map<string, string>();

  const store: ObjectStore = {
    async get<T extends KubeObject>({ kind, namespace, name }: ObjectRef): Promise<T | undefined> {
      const path = pathOf(kind, namespace, name);
      return orUndefined(api.request<T>({ method: "GET", path }));
    },

    async list<T extends KubeObject>(kind: string, options: ListOptions = {}) {
      if (options.namespace !== undefined || namespaces.length === 0) return listOne<T>(kind, options);
      const lists = await Promise.all(namespaces.map((namespace) => listOne<T>(kind, { ...options, namespace })));
      // Lists of several namespaces have no version in common: nothing can be watched from here.
      return { items: lists.flatMap(({ items }) => items), resourceVersion: "" };
    },

    async *watch<T extends KubeObject>(kind: string, { signal, resourceVersion, ...options }: WatchOptions) {
      const query = {
        watch: "true",
        allowWatchBookmarks: "true",
        timeoutSeconds: String(WATCH_SECONDS),
        resourceVersion,
        labelSelector: selector(options),
      };
      const lines = api.lines({ method: "GET", path: pathOf(kind, options.namespace), query }, signal);
      for await (const line of lines) {
        if (signal.aborted) return;
        yield eventOf<T>(line);
      }
    },

    create<T extends KubeObject>(object: Draft<T>): Promise<T> {
      const { kind, metadata } = object as unknown as KubeObject;
      return api.request<T>({
        ...{ method: "POST", path: pathOf(kind, metadata.namespace), query: { fieldManager } },
        body: object,
      });
    },

    update<T extends KubeObject>(object: T): Promise<T> {
      const { kind, metadata } = object;
      return api.request<T>({
        ...{ method: "PUT", path: pathOf(kind, metadata.namespace, metadata.name), query: { fieldManager } },
        body: object,
      });
    },

    async apply<T extends KubeObject>(configuration: ApplyConfiguration, options: { fieldManager: string }) {
      const stated = statedOnly(configuration);
      const { kind, metadata } = stated;
      const path = pathOf(kind, metadata.namespace, metadata.name);
      const live = await orUndefined(api.request<Stored>({ method: "GET", path }));
      const fingerprint = hashOf(stated);
      if (live !== undefined) {
        const known = settled.get(path) === `${live.metadata.resourceVersion} ${fingerprint}`;
        if (known || isApplied(live, stated, options.fieldManager)) return live as unknown as T;
      }
      const applied = await applyTo(api, path, stated, options.fieldManager);
      // The server may keep a value in another form than it was stated in (0.5 cores as 500m): do not send it again.
      settled.set(path, `${applied.metadata.resourceVersion} ${fingerprint}`);
      return applied as unknown as T;
    },

    async patchStatus<T extends KubeObject>(
      ref: ObjectRef,
      status: unknown,
      options: { resourceVersion?: string } = {},
    ) {
      const { resourceVersion } = options;
      const unchanged = { op: "add", path: "/metadata/resourceVersion", value: resourceVersion };
      return api.request<T>({
        ...{ method: "PATCH", path: `${pathOf(ref.kind, ref.namespace, ref.name)}/status`, query: { fieldManager } },
        contentType: "application/json-patch+json",
        body: [...(resourceVersion === undefined ? [] : [unchanged]), { op: "add", path: "/status", value: status }],
      });
    },

    async delete({ kind, namespace, name }, preconditions = {}) {
      const path = pathOf(kind, namespace, name);
      settled.delete(path);
      await orUndefined(
        api.request({ method: "DELETE", path, body: { propagationPolicy: "Background", preconditions } }),
      );
    },

    recordEvent: eventRecorder({ api, fieldManager, ...(onError && { onError }) }),
  };
  return store;

  async function listOne<T extends KubeObject>(kind: string, options: ListOptions) {
    const items: T[] = [];
    let page: ObjectList | undefined;
    do {
      const query = { limit: String(PAGE), continue: page?.metadata.continue, labelSelector: selector(options) };
      page = await api.request<ObjectList>({ method: "GET", path: pathOf(kind, options.namespace), query });
      // The items of a list do not say what they are.
      const of = { apiVersion: apiVersionOf(kind), kind };
      items.push(...page.items.map((item) => ({ ...of, ...item }) as unknown as T));
    } while (page.metadata.continue !== undefined && page.metadata.continue !== "");
    return { items, resourceVersion: page.metadata.resourceVersion };
  }
}

const hashOf = (value: unknown) => createHash("sha256").update(JSON.stringify(value)).digest("base64");

const selector = ({ labels = {} }: ListOptions): string | undefined => {
  const terms = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return terms.length === 0 ? undefined : terms.join(",");
};

type Line =
  | { type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK"; object: KubeObject }
  | { type: "ERROR"; object: ApiStatus };

const types = { ADDED: "Added", MODIFIED: "Modified", DELETED: "Deleted" } as const;

/** @throws GoneError for a version that is too old, else the error the server put into the stream. */
function eventOf<T extends KubeObject>(line: string): WatchEvent<T> {
  const event = JSON.parse(line) as Line;
  if (event.type === "ERROR") throw errorOf(event.object.code ?? 500, event.object, "watch");
  if (event.type === "BOOKMARK") {
    return { type: "Bookmark", resourceVersion: event.object.metadata.resourceVersion };
  }
  return { type: types[event.type], object: event.object as T };
}

async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
