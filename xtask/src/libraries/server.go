// A web server with TLS, as small as can be: what is wanted is Go's crypto/tls in a binary.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	log.Fatal(http.ListenAndServeTLS(os.Args[1], os.Args[2], os.Args[3], nil))
}
