// A certified OpenID provider on a free port of this machine, with two clients of ours. Anybody signs in by any name.
import Provider from "oidc-provider";

const [redirectUri] = process.argv.slice(2);
const port = await new Promise((resolve) => {
  import("node:net").then(({ createServer }) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { client_id: "yeoul", client_secret: "a secret / with signs & such", redirect_uris: [redirectUri] },
    { client_id: "public", token_endpoint_auth_method: "none", redirect_uris: [redirectUri.replace("real", "public")] },
  ],
  claims: { email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["only for tests"] },
  pkce: { required: () => true },
  findAccount: async (_, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@example.com`, email_verified: id !== "unproven", name: `The ${id}` }),
  }),
});
provider.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
