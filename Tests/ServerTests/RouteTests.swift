import HTTPTypes
import JSONTree
import Testing

/// Each route, whom it lets in, and what it says to others.
struct RouteTests {
    @Test func everyRouteAnswers() async throws {
        try await TinyServer.run { server in
            for path in [
                "/health", "/ready", "/version", "/metrics", "/v1/models", "/v1/models/plain",
            ] {
                let answer = try await server.send(.get, path)
                #expect(answer.status == 200 && !answer.text.isEmpty, "\(path)")
                let head = try await server.send(.head, path)
                #expect(head.status == 200 && head.text.isEmpty, "HEAD \(path)")
            }
            let completion = try await server.post(
                "/v1/completions",
                #"{"model":"plain","prompt":"ab","max_tokens":3,"ignore_eos":true}"#)
            #expect(completion.status == 200 && completion.json["usage"]?["total_tokens"] == 5)
            let chat = try await server.post(
                "/v1/chat/completions",
                #"{"model":"base","messages":[{"role":"user","content":"hi"}],"max_tokens":2}"#)
            #expect(chat.status == 200)
            #expect(chat.json["choices"]?.arrayValue?.count == 1)
        }
    }

    @Test(arguments: [
        ("/v1/completions", "POST, OPTIONS"), ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
    ])
    func anotherMethodIsToldWhichOne(path: String, allowed: String) async throws {
        try await TinyServer.run { server in
            for method in [HTTPRequest.Method.delete, .patch] {
                let answer = try await server.send(method, path)
                #expect(answer.status == 405 && answer.code == "method_not_allowed")
                #expect(answer.headers[.allow] == allowed)
            }
            let options = try await server.send(.options, path)
            #expect(options.status == 204 && options.headers[.allow] == allowed)
        }
    }

    @Test func keysOpenWhatTheyMay() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let asked = #"{"model":"base","prompt":"a","max_tokens":1}"#
            #expect(try await server.send(.get, "/health", key: "wrong-key").status == 200)
            let wrong = try await server.send(.post, "/v1/completions", asked, key: "wrong-key")
            #expect(wrong.status == 401 && wrong.code == "invalid_api_key")
            #expect(wrong.headers[.wwwAuthenticate] == "Bearer")
            let user = TinyServer.userKey
            #expect(try await server.send(.post, "/v1/completions", asked, key: user).status == 200)
            for path in ["/admin/adapters", "/admin/tiers", "/admin/events"] {
                let answer = try await server.send(.get, path, key: user)
                #expect(answer.status == 403 && answer.code == "admin_key_required", "\(path)")
            }
            #expect(try await server.send(.get, "/admin/adapters").status == 200)
            let load = try await server.send(
                .post, "/v1/load_lora_adapter", #"{"lora_name":"x","lora_path":"/x"}"#, key: user)
            #expect(load.status == 403)
        }
    }

    /// Where adapters lie is none of a tenant's business.
    @Test func tenantsSeeNoPaths() async throws {
        try await TinyServer.run(adapters: ["plain", "gone"], hasKeys: true) { server in
            let user = TinyServer.userKey
            let models = try await server.send(.get, "/v1/models", key: user)
            #expect(models.text.contains(#""root":"plain""#) && !models.text.contains("Goldens"))
            #expect(try await server.send(.get, "/v1/models").text.contains("Goldens"))
            let asked = #"{"model":"gone","prompt":"a","max_tokens":1}"#
            let tenant = try await server.send(.post, "/v1/completions", asked, key: user)
            #expect(tenant.status == 503 && tenant.code == "source_not_found")
            #expect(!tenant.text.contains("Goldens") && tenant.text.contains("gone"))
            let admin = try await server.send(.post, "/v1/completions", asked)
            #expect(admin.text.contains("Goldens"))
        }
    }

    @Test func browsersAreLetInByOptionOnly() async throws {
        let headers: HTTPFields = [.origin: "https://a.example"]
        try await TinyServer.run(origin: "https://a.example") { server in
            let answer = try await server.send(.get, "/v1/models", headers: headers)
            #expect(answer.headers[.accessControlAllowOrigin] == "https://a.example")
        }
        try await TinyServer.run { server in
            let answer = try await server.send(.get, "/v1/models", headers: headers)
            #expect(answer.headers[.accessControlAllowOrigin] == nil)
        }
    }

    @Test func operatorsLookAfterAdapters() async throws {
        try await TinyServer.run(hasKeys: true) { server in
            let pin = try await server.send(.post, "/admin/adapters/plain/pin")
            #expect(pin.status == 200 && pin.json["pinned"] == true)
            let odd = try await server.send(.post, "/admin/adapters/plain/frobnicate")
            #expect(odd.status == 404 && odd.code == "not_found")
            let removed = try await server.send(.delete, "/admin/adapters/dora")
            #expect(removed.status == 200)
            #expect(try await server.send(.get, "/admin/adapters/dora").status == 404)
            let put = try await server.send(.put, "/admin/adapters/x", #"{"source":"/nowhere"}"#)
            #expect(put.status == 404 && put.code == "source_not_found")
        }
    }
}
