"""Keystone: tokens, domains, projects, users, roles, grants, services and endpoints."""

import hashlib
import os
import time
import uuid

from . import configuration
from .configuration import Wrong
from .database import Database, view
from .http import Reply

KINDS = {  # collection: (one, attributes that together are unique)
    "domains": ("domain", ("name",)),
    "projects": ("project", ("name", "domain_id")),
    "users": ("user", ("name", "domain_id")),
    "groups": ("group", ("name", "domain_id")),
    "roles": ("role", ("name", "domain_id")),
    "services": ("service", ()),
    "endpoints": ("endpoint", ()),
    "regions": ("region", ("id",)),
}
VIEWS = (
    view("service", "services", id="$.id", type="$.type", enabled="(1)"),
    view("endpoint", "endpoints", id="$.id", service_id="$.service_id", interface="$.interface", url="$.url", region_id="$.region_id"),
    view("project", "projects", id="$.id", name="$.name", domain_id="$.domain_id"),
    view("role", "roles", id="$.id", name="$.name"),
    view("region", "regions", id="$.id"),
)
VERSION = {"id": "v3.10", "status": "stable", "updated": "2018-02-28T00:00:00Z",
           "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]}
FORMAT = "%Y-%m-%dT%H:%M:%S.000000Z"


def settings(arguments=()):
    return configuration.of("keystone", "keystone", arguments)


def hashed(password):
    return hashlib.sha256(password.encode()).hexdigest()


def fail(status, message):
    titles = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 500: "Internal Server Error"}
    raise Reply(status, {"error": {"code": status, "message": message, "title": titles[status]}})


def unauthorized():
    fail(401, "The request you have made requires authentication.")


def new(kind, **attributes):
    return {"id": uuid.uuid4().hex, "enabled": True, **attributes, "kind": kind}


class Identity:
    """The application. Each request has a connection of its own, as each worker has."""

    def __init__(self):
        self.settings = settings()
        self.url = self.settings.need("database", "connection")
        self.lifetime = int(self.settings.get("token", "expiration", "3600"))

    def __call__(self, request):
        database = Database(self.url)
        try:
            database.migrated()
            return Exchange(self, database, request).reply()
        except Wrong as wrong:
            print(f"CRITICAL keystone: {wrong}", flush=True)
            fail(500, "An unexpected error prevented the server from fulfilling your request.")
        finally:
            database.close()


class Exchange:
    """One request."""

    def __init__(self, identity, database, request):
        self.identity, self.database, self.request = identity, database, request

    def reply(self):
        request = self.request
        parts = request.parts[1:] if request.parts[:1] == ["identity"] else request.parts
        host = request.header("host") or "localhost:5000"
        version = {**VERSION, "links": [{"rel": "self", "href": f"http://{host}/v3/"}]}
        if not parts:
            return Reply(300, {"versions": {"values": [version]}}, {"Location": f"http://{host}/v3/"})
        if parts == ["v3"]:
            return Reply(200, {"version": version})
        if parts[0] != "v3":
            fail(404, "(http_not_found)")
        parts = parts[1:]
        if parts == ["auth", "tokens"] and request.method == "POST":
            return self.issue()
        who = self.token(request.header("x-auth-token"))
        if parts == ["auth", "tokens"]:
            return self.examine(who)
        if "admin" not in [role["name"] for role in who["roles"]]:
            fail(403, f"You are not authorized to perform the requested action: {parts[0]}.")
        if parts == ["role_assignments"]:
            return self.assignments()
        if "roles" in parts[1:] or "implies" in parts:
            return self.grant(parts)
        if parts[0] not in KINDS:
            fail(404, f"Could not find: {request.path}")
        return self.collection(parts)

    # Tokens

    def keys(self):
        """Tokens are made with keys that must be there, for the service's own user alone to read."""
        folder = self.identity.settings.get("fernet_tokens", "key_repository", "/etc/keystone/fernet-keys/")
        try:
            there = any(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if open(os.path.join(folder, name)))
        except OSError as error:
            fail(500, f"An unexpected error prevented the server from fulfilling your request: {error}")
        if not there:
            fail(500, f"{folder} does not contain keys, use keystone-manage fernet_setup to create Fernet keys.")

    def issue(self):
        self.keys()
        auth = self.request.json().get("auth", {})
        identity = auth.get("identity", {})
        if "token" in identity.get("methods", []):
            user = self.database.get("users", self.token(identity["token"]["id"])["user"]["id"])
        else:
            user = self.user(identity.get("password", {}).get("user", {}))
        scope = auth.get("scope", {})
        if scope == "unscoped":
            scope = {}
        place, target = self.scope(scope)
        roles = self.roles_of(user, place, target)
        if scope and not roles:
            unauthorized()
        now = time.time()
        token = {"id": uuid.uuid4().hex, "until": now + self.identity.lifetime, "body": {
            "methods": identity.get("methods", ["password"]),
            "user": {"id": user["id"], "name": user["name"], "domain": self.domain(user), "password_expires_at": None},
            "audit_ids": [uuid.uuid4().hex[:22]], "issued_at": time.strftime(FORMAT, time.gmtime(now)),
            "expires_at": time.strftime(FORMAT, time.gmtime(now + self.identity.lifetime)),
            "roles": [{"id": role["id"], "name": role["name"]} for role in roles],
        }}
        if place == "projects":
            token["body"]["project"] = {"id": target["id"], "name": target["name"], "domain": self.domain(target)}
        elif place == "domains":
            token["body"]["domain"] = {"id": target["id"], "name": target["name"]}
        elif place == "system":
            token["body"]["system"] = {"all": True}
        if place:
            token["body"]["catalog"] = self.catalog(target)
        self.database.put("tokens", token)
        return Reply(201, {"token": token["body"]}, {"X-Subject-Token": token["id"]})

    def token(self, key):
        found = self.database.get("tokens", key) if key else None
        if not found or found["until"] < time.time():
            unauthorized()
        return found["body"]

    def examine(self, who):
        key = self.request.header("x-subject-token")
        found = self.database.get("tokens", key)
        if not found or found["until"] < time.time():
            fail(404, f"Could not find token: {key}.")
        roles = {role["name"] for role in who["roles"]}
        if not roles & {"admin", "service"} and who["user"] != found["body"]["user"]:
            fail(403, "You are not authorized to perform the requested action: identity:validate_token.")
        if self.request.method == "DELETE":
            self.database.delete("tokens", key)
            return Reply(204)
        return Reply(200, {"token": found["body"]}, {"X-Subject-Token": key})

    def user(self, said):
        domain = self.find("domains", said.get("domain", {"id": "default"})) if "id" not in said else None
        for user in self.database.all("users"):
            same = user["id"] == said.get("id") if domain is None else (user["name"], user["domain_id"]) == (said.get("name"), domain["id"])
            if same and user["enabled"] and user.get("password") == hashed(said.get("password", "")):
                return user
        unauthorized()

    def find(self, kind, said):
        for body in self.database.all(kind):
            if body["id"] == said.get("id") or "id" not in said and body["name"] == said.get("name"):
                return body
        unauthorized()

    def scope(self, scope):
        if "project" in scope:
            said = scope["project"]
            if "id" in said:
                return "projects", self.find("projects", said)
            domain = self.find("domains", said.get("domain", {"id": "default"}))
            for project in self.database.all("projects"):
                if (project["name"], project["domain_id"]) == (said.get("name"), domain["id"]):
                    return "projects", project
            unauthorized()
        if "domain" in scope:
            return "domains", self.find("domains", scope["domain"])
        if "system" in scope:
            return "system", {"id": "all"}
        return None, None

    def domain(self, body):
        domain = self.database.get("domains", body["domain_id"])
        return {"id": domain["id"], "name": domain["name"]}

    def roles_of(self, user, place, target):
        if not place:
            return []
        wanted = [grant["role"] for grant in self.database.all("grants")
                  if (grant["user"], grant["place"], grant["target"]) == (user["id"], place, target["id"])]
        implied = self.database.all("implied")
        for rule in implied:
            if rule["prior"] in wanted and rule["role"] not in wanted:
                wanted.append(rule["role"])
        return [role for role in self.database.all("roles") if role["id"] in wanted]

    def catalog(self, target):
        endpoints = self.database.all("endpoints")
        project = (target or {}).get("id", "")

        def entry(endpoint):
            url = endpoint["url"]
            for name in ("project_id", "tenant_id"):
                url = url.replace(f"%({name})s", project).replace(f"$({name})s", project)
            return {"id": endpoint["id"], "interface": endpoint["interface"], "region": endpoint["region_id"],
                    "region_id": endpoint["region_id"], "url": url}

        return [{"id": service["id"], "type": service["type"], "name": service.get("name", ""),
                 "endpoints": [entry(it) for it in endpoints if it["service_id"] == service["id"]]}
                for service in self.database.all("services")]

    # Grants

    def grant(self, parts):
        method = self.request.method
        if "implies" in parts:
            body = {"id": f"{parts[1]} {parts[-1]}", "prior": parts[1], "role": parts[-1]}
            kind = "implied"
        else:
            place, target, user, role = self.where(parts)
            body = {"id": f"{place} {target} {user} {role}", "place": place, "target": target, "user": user, "role": role}
            kind = "grants"
            if role is None:
                roles = [it["role"] for it in self.database.all(kind) if it["id"].startswith(f"{place} {target} {user} ")]
                return Reply(200, {"roles": [it for it in self.database.all("roles") if it["id"] in roles], "links": {}})
        there = self.database.get(kind, body["id"])
        if method == "PUT":
            self.database.put(kind, body)
            return Reply(201 if kind == "implied" else 204, {"role_inference": {}} if kind == "implied" else None)
        if not there:
            fail(404, "Could not find role assignment.")
        if method == "DELETE":
            self.database.delete(kind, body["id"])
        return Reply(204)

    def where(self, parts):
        """`projects/P/users/U/roles/R`, the same for domains, and `system/users/U/roles/R`."""
        place, target = parts[0], "all"
        if place != "system":
            target = parts[1]
            if place not in ("projects", "domains") or not self.database.get(place, target):
                fail(404, f"Could not find {place[:-1]}: {target}.")
        at = parts.index("users") if "users" in parts else fail(404, "Could not find it.")
        user = parts[at + 1]
        role = parts[at + 3] if len(parts) > at + 3 else None
        if not self.database.get("users", user):
            fail(404, f"Could not find user: {user}.")
        if role and not self.database.get("roles", role):
            fail(404, f"Could not find role: {role}.")
        return place, target, user, role

    def assignments(self):
        query, found = self.request.query, []
        for grant in self.database.all("grants"):
            place = {"projects": {"project": {"id": grant["target"]}}, "domains": {"domain": {"id": grant["target"]}},
                     "system": {"system": {"all": True}}}[grant["place"]]
            wanted = {"scope.project.id": ("projects", grant["target"]), "scope.domain.id": ("domains", grant["target"])}
            if any(query.get(key) and (grant["place"], query[key]) != here for key, here in wanted.items()):
                continue
            if query.get("user.id", grant["user"]) != grant["user"] or query.get("role.id", grant["role"]) != grant["role"]:
                continue
            if "scope.system" in query and grant["place"] != "system":
                continue
            found.append({"scope": place, "user": {"id": grant["user"]}, "role": {"id": grant["role"]}, "links": {}})
        return Reply(200, {"role_assignments": found, "links": {}})

    # Collections

    def collection(self, parts):
        kind, method = parts[0], self.request.method
        one, unique = KINDS[kind]
        if len(parts) == 1 and method == "GET":
            query = {key: value for key, value in self.request.query.items() if key in ("name", "domain_id", "type", "service_id",
                     "interface", "region_id", "enabled")}
            same = [body for body in self.database.all(kind) if all(str(body.get(key)) == value for key, value in query.items())]
            return Reply(200, {kind: [shown(body) for body in same], "links": {"self": self.request.path, "next": None, "previous": None}})
        if len(parts) == 1 and method == "POST":
            return self.create(kind, one, unique)
        body = self.database.get(kind, parts[1])
        if not body:
            fail(404, f"Could not find {one}: {parts[1]}.")
        if method == "PATCH":
            body.update(kept(self.request.json().get(one, {})))
            self.database.put(kind, body)
        elif method == "DELETE":
            self.database.delete(kind, parts[1])
            for grant in self.database.all("grants"):
                if parts[1] in (grant["user"], grant["target"], grant["role"]):
                    self.database.delete("grants", grant["id"])
            return Reply(204)
        return Reply(200, {one: shown(body)})

    def create(self, kind, one, unique):
        said = self.request.json().get(one, {})
        body = new(kind, **kept(said))
        if kind in ("projects", "users", "groups"):
            body.setdefault("domain_id", "default")
            if not self.database.get("domains", body["domain_id"]):
                fail(404, f"Could not find domain: {body['domain_id']}.")
        if kind == "roles":
            body.setdefault("domain_id", None)
        if kind == "endpoints":
            if not self.database.get("services", body.get("service_id", "")):
                fail(400, f"Endpoint service_id: {body.get('service_id')} not found.")
            region = body.get("region_id") or body.get("region")
            body["region_id"] = body["region"] = region
            if region and not self.database.get("regions", region):
                self.database.put("regions", {"id": region, "description": ""})
        if kind in ("projects", "users", "roles", "domains") and not body.get("name"):
            fail(400, "'name' is a required property")
        for other in self.database.all(kind) if unique else []:
            if all(other.get(key) == body.get(key) for key in unique):
                fail(409, f"Conflict occurred attempting to store {one} - Duplicate entry found with name {body.get('name')}"
                          f" at domain ID {body.get('domain_id')}.")
        self.database.put(kind, body)
        return Reply(201, {one: shown(body)})


def kept(said):
    """What is kept of what was said: never a password."""
    return {key: hashed(value) if key == "password" else value for key, value in said.items()}


def shown(body):
    return {key: value for key, value in body.items() if key not in ("password", "kind")} | {"links": {}}


def bootstrap(options, password):
    """`keystone-manage bootstrap`: the administrator, what it may, and the service itself. Again it changes nothing twice."""
    database = Database(settings().need("database", "connection"))
    database.migrated()

    def ensure(kind, body, *same):
        for other in database.all(kind):
            if all(other.get(key) == body.get(key) for key in same):
                other.update({key: value for key, value in body.items() if key != "id"})
                return database.put(kind, other)
        return database.put(kind, body)

    ensure("domains", {**new("domains", name="Default"), "id": "default"}, "id")
    project = ensure("projects", new("projects", name="admin", domain_id="default"), "name", "domain_id")
    user = ensure("users", new("users", name="admin", domain_id="default", password=hashed(password)), "name", "domain_id")
    roles = [ensure("roles", new("roles", name=name, domain_id=None), "name") for name in ("admin", "member", "reader")]
    for prior, implied in ((0, 1), (1, 2)):
        pair = [roles[prior]["id"], roles[implied]["id"]]
        database.put("implied", {"id": " ".join(pair), "prior": pair[0], "role": pair[1]})
    for place, target in (("projects", project["id"]), ("system", "all")):
        grant = {"place": place, "target": target, "user": user["id"], "role": roles[0]["id"]}
        database.put("grants", {"id": f"{place} {target} {user['id']} {roles[0]['id']}", **grant})
    region = options.get("--bootstrap-region-id")
    if region:
        ensure("regions", {"id": region, "description": ""}, "id")
    service = ensure("services", new("services", name=options.get("--bootstrap-service-name", "keystone"), type="identity"), "type")
    for interface in ("admin", "internal", "public"):
        url = options.get(f"--bootstrap-{interface}-url")
        if url:
            ensure("endpoints", new("endpoints", interface=interface, service_id=service["id"], url=url, region_id=region, region=region),
                   "interface", "service_id", "region_id")
