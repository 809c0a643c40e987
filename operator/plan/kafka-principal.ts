import { isDeepStrictEqual } from "node:util";
import type { KafkaAcl, KafkaPrincipal } from "../desired/kafka-principal.ts";

/** What a cluster knows of a user. */
export interface ObservedPrincipal {
  /** It has a password for the back-end's mechanism; which one, no cluster tells. */
  readonly hasPassword: boolean;
  readonly acls: readonly KafkaAcl[];
}

export type PrincipalAction =
  | { readonly kind: "RemoveAcls"; readonly username: string; readonly acls: readonly KafkaAcl[] }
  | { readonly kind: "AddAcls"; readonly username: string; readonly acls: readonly KafkaAcl[] }
  | { readonly kind: "SetPassword"; readonly username: string };

/** What was given to our user by hand is taken away, what is missing is added. Rights come before the password that uses them. */
export function planPrincipal({ username, acls }: KafkaPrincipal, observed: ObservedPrincipal): PrincipalAction[] {
  const without = (these: readonly KafkaAcl[], those: readonly KafkaAcl[]) =>
    these.filter((acl) => !those.some((other) => isDeepStrictEqual(acl, other)));
  const [extra, missing] = [without(observed.acls, acls), without(acls, observed.acls)];
  const actions: PrincipalAction[] = [];
  if (extra.length > 0) actions.push({ kind: "RemoveAcls", username, acls: extra });
  if (missing.length > 0) actions.push({ kind: "AddAcls", username, acls: missing });
  if (!observed.hasPassword) actions.push({ kind: "SetPassword", username });
  return actions;
}
