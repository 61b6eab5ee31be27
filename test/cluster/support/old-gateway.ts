/**
 * OpenKruise's sandbox-gateway as its users have it: names, labels, ports, probes, and the parts that must be gone when Lychgate
 * runs in its place.
 */
const labels = { "app.kubernetes.io/name": "sandbox-gateway", component: "sandbox-manager" };

export const OLD_GATEWAY = [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "sandbox-gateway",
      namespace: "sandbox-system",
      labels: { "app.kubernetes.io/name": "sandbox-gateway" },
    },
    spec: {
      ports: [{ name: "http", port: 7788, targetPort: 7788 }],
      selector: { "app.kubernetes.io/name": "sandbox-gateway" },
    },
  },
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "sandbox-gateway", namespace: "sandbox-system", labels },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: "sandbox-gateway",
          terminationGracePeriodSeconds: 60,
          affinity: {
            podAntiAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                {
                  weight: 100,
                  podAffinityTerm: {
                    topologyKey: "kubernetes.io/hostname",
                    labelSelector: { matchLabels: labels },
                  },
                },
              ],
            },
          },
          containers: [
            {
              name: "sandbox-gateway",
              image: "sandbox-gateway:latest",
              command: ["envoy"],
              args: ["-c", "/etc/envoy/envoy.yaml"],
              lifecycle: { preStop: { exec: { command: ["sleep", "30"] } } },
              env: [{ name: "PEER_NAMESPACE", value: "sandbox-system" }],
              ports: [
                { name: "http", containerPort: 7788 },
                { name: "metrics", containerPort: 9902 },
                { name: "system", containerPort: 7789 },
              ],
              livenessProbe: { tcpSocket: { port: 7788 }, initialDelaySeconds: 10 },
              readinessProbe: { httpGet: { path: "/readyz", port: "system" }, periodSeconds: 5 },
              resources: { limits: { cpu: "2", memory: "4Gi" } },
              volumeMounts: [
                { name: "envoy-config", mountPath: "/etc/envoy/envoy.yaml", subPath: "envoy.yaml" },
              ],
            },
          ],
          volumes: [{ name: "envoy-config", configMap: { name: "envoy-config" } }],
        },
      },
    },
  },
] as const;
