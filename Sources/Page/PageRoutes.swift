internal import HTTPTypes
package import Hummingbird
internal import NIOCore

/// `GET /` and `GET /page/NAME`. Everything that the page shows it asks of the other routes, with the visitor's key.
package struct PageRoutes {
    private let parts: [String: PageFile]

    package init() {
        parts = Dictionary(PageFile.parts.map { ($0.name, $0) }) { first, _ in first }
    }

    package func add<Context: RequestContext>(to router: Router<Context>) {
        router.get("/") { request, _ -> Response in PageRoutes.response(PageFile.index, request) }
        router.get("page/{name}") { [parts] request, context -> Response in
            guard let name = context.parameters.get("name"), let file = parts[name] else {
                throw HTTPError(.notFound)
            }
            return PageRoutes.response(file, request)
        }
    }

    private static func response(_ file: PageFile, _ request: Request) -> Response {
        // Nothing from elsewhere, nothing within other pages.
        var headers: HTTPFields = [
            .contentType: file.contentType, .eTag: file.tag, .cacheControl: "no-cache",
            .contentSecurityPolicy: "default-src 'none'; script-src 'self'; style-src 'self'; "
                + "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
                + "frame-ancestors 'none'",
            .xContentTypeOptions: "nosniff",
        ]
        for (name, value) in [
            ("referrer-policy", "no-referrer"), ("cross-origin-opener-policy", "same-origin"),
        ] {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        if request.headers[.ifNoneMatch] == file.tag {
            return Response(status: .notModified, headers: headers)
        }
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: file.bytes)))
    }
}
