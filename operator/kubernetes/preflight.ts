import { isDeepStrictEqual } from "node:util";
import { NotFoundError } from "../runtime/object-store.ts";
import type { ApiClient } from "./api-client.ts";
import { ApiError } from "./api-errors.ts";

export interface Crd {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly versions: readonly { readonly name: string; readonly schema?: unknown }[];
  };
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

export interface Account {
  readonly namespace: string;
  readonly name: string;
}

/** Ours works with ValidatingAdmissionPolicy, which is generally available since then. */
export const OLDEST_MINOR = 30;

/** `v1.31.4`, and whether that is new enough. */
export async function serverVersion(api: ApiClient): Promise<{ version: string; supported: boolean }> {
  const path = "/version";
  const { gitVersion, major, minor } = await api.request<Record<string, string>>({ method: "GET", path });
  const supported = Number(major) > 1 || Number.parseInt(minor ?? "", 10) >= OLDEST_MINOR;
  return { version: gitVersion ?? "unknown", supported };
}

/** How the definition the server has compares with ours. Unknown: it may not be read. */
export async function compareCrd(api: ApiClient, ours: Crd): Promise<"Same" | "Other" | "Missing" | "Unknown"> {
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${ours.metadata.name}`;
  try {
    const live = await api.request<Crd>({ method: "GET", path });
    return isDeepStrictEqual(schemasOf(live), schemasOf(ours)) ? "Same" : "Other";
  } catch (error) {
    if (error instanceof NotFoundError) return "Missing";
    if (error instanceof ApiError && error.code === 403) return "Unknown";
    throw error;
  }
}

/** As a server keeps them: it drops a list of required fields that is empty. */
function schemasOf({ spec }: Crd): unknown {
  const schemas = spec.versions.map(({ name, schema }) => ({ name, schema }));
  const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0;
  return JSON.parse(JSON.stringify(schemas), (key, value: unknown) =>
    key === "required" && isEmpty(value) ? undefined : value,
  );
}

interface Review {
  readonly status?: { readonly allowed?: boolean };
}

/**
 * What an account may not do of what the rules say, as `patch deployments.apps`; undefined where the caller may not ask.
 *
 * @param namespace where; all when undefined
 */
export async function missingRights(
  api: ApiClient,
  account: Account,
  rules: readonly Rule[],
  namespace: string | undefined,
): Promise<string[] | undefined> {
  const user = `system:serviceaccount:${account.namespace}:${account.name}`;
  const groups = ["system:serviceaccounts", `system:serviceaccounts:${account.namespace}`, "system:authenticated"];
  const own = (await whoAmI(api)) === user;
  const kind = own ? "SelfSubjectAccessReview" : "SubjectAccessReview";
  const asked = rules.flatMap(rightsOf).map(async ({ text, attributes }) => {
    const resourceAttributes = { ...attributes, ...(namespace === undefined ? {} : { namespace }) };
    const spec = own ? { resourceAttributes } : { user, groups, resourceAttributes };
    const body = { apiVersion: "authorization.k8s.io/v1", kind, spec };
    const path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`;
    const { status } = await api.request<Review>({ method: "POST", path, body });
    return status?.allowed === true ? [] : [text];
  });
  try {
    return (await Promise.all(asked)).flat();
  } catch (error) {
    await Promise.allSettled(asked);
    if (error instanceof ApiError && error.code === 403) return undefined;
    throw error;
  }
}

async function whoAmI(api: ApiClient): Promise<string | undefined> {
  const path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const answer = await api.request<{ status?: { userInfo?: { username?: string } } }>({ method: "POST", path, body });
  return answer.status?.userInfo?.username;
}

function rightsOf({ apiGroups, resources, verbs, resourceNames = [""] }: Rule) {
  return apiGroups.flatMap((group) =>
    resources.flatMap((full) =>
      verbs.flatMap((verb) =>
        resourceNames.map((name) => {
          const [resource, subresource] = full.split("/");
          const text = `${verb} ${group === "" ? full : `${full}.${group}`}${name === "" ? "" : ` ${name}`}`;
          const attributes = { group, resource, subresource, verb, ...(name === "" ? {} : { name }) };
          return { text, attributes };
        }),
      ),
    ),
  );
}
