import { AclOperations, AclPermissionTypes, Admin, ResourcePatternTypes, ResourceTypes } from "@platformatic/kafka";
import { kafkaPrincipals } from "../../operator/external/kafka-principal.ts";

type Right = readonly [resource: "TOPIC" | "GROUP", name: string, operation: keyof typeof AclOperations];

/** Users and rights as an administrator of the cluster makes them, over a listener that asks for nothing. */
export interface ClusterAdmin {
  readonly admin: Admin;
  readonly principals: ReturnType<typeof kafkaPrincipals>;
  /** `User:<name>`: every right on what begins with `prefix`. */
  allowPrefix(name: string, prefix: string): Promise<void>;
  allow(name: string, ...right: Right): Promise<void>;
  revoke(name: string, ...right: Right): Promise<void>;
  close(): Promise<void>;
}

export function clusterAdmin(bootstrapServers: string): ClusterAdmin {
  const admin = new Admin({ clientId: "cluster-admin", bootstrapBrokers: [bootstrapServers], retries: 3 });
  const acl = (name: string, [resource, resourceName, operation]: Right, prefixed = false) => ({
    resourceType: ResourceTypes[resource],
    resourceName,
    resourcePatternType: prefixed ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
    principal: `User:${name}`,
    host: "*",
    operation: AclOperations[operation],
    permissionType: AclPermissionTypes.ALLOW,
  });
  return {
    admin,
    principals: kafkaPrincipals(admin),
    async allowPrefix(name, prefix) {
      const rights = (["TOPIC", "GROUP"] as const).map((resource) => acl(name, [resource, prefix, "ALL"], true));
      await admin.createAcls({ creations: rights });
    },
    allow: (name, ...right) => admin.createAcls({ creations: [acl(name, right)] }),
    async revoke(name, ...right) {
      await admin.deleteAcls({ filters: [acl(name, right)] });
    },
    close: () => admin.close(),
  };
}
