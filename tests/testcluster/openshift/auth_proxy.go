// A stand-in for kube-rbac-proxy: TLS, TokenReview, SubjectAccessReview, then the upstream.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

type object = map[string]any

var api *http.Client

// ask posts a review to the API server, with the pod's own token.
func ask(path, kind string, spec object) (object, error) {
	group := strings.Split(path, "/")[2]
	body, _ := json.Marshal(object{"apiVersion": group + "/v1", "kind": kind, "spec": spec})
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return nil, err
	}
	server := "https://" + os.Getenv("KUBERNETES_SERVICE_HOST") + ":" +
		os.Getenv("KUBERNETES_SERVICE_PORT")
	request, err := http.NewRequest("POST", server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/json")
	answer, err := api.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var found struct {
		Status  any
		Message string
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		return nil, err
	}
	status, ok := found.Status.(object)
	if !ok || answer.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %d %s", path, answer.StatusCode, found.Message)
	}
	return status, nil
}

func main() {
	listen := flag.String("secure-listen-address", "", "")
	probed := flag.Int("proxy-endpoints-port", 0, "")
	upstream := flag.String("upstream", "", "")
	certificate := flag.String("tls-cert-file", "", "")
	key := flag.String("tls-private-key-file", "", "")
	namespace := flag.String("namespace", "", "")
	name := flag.String("name", "", "")
	flag.Parse()

	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	api = &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}
	target, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	handler := func(w http.ResponseWriter, r *http.Request) {
		token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !given || token == "" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		review, err := ask("/apis/authentication.k8s.io/v1/tokenreviews", "TokenReview",
			object{"token": token})
		if err != nil {
			log.Print(err)
		}
		if err != nil || review["authenticated"] != true {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		user := review["user"].(object)
		allowed, err := ask("/apis/authorization.k8s.io/v1/subjectaccessreviews",
			"SubjectAccessReview", object{
				"user": user["username"], "groups": user["groups"],
				"resourceAttributes": object{
					"group": "serving.kserve.io", "resource": "inferenceservices",
					"namespace": *namespace, "name": *name, "verb": "get",
				},
			})
		if err != nil {
			log.Print(err)
			http.Error(w, "Internal error", http.StatusInternalServerError)
			return
		}
		if allowed["allowed"] != true {
			http.Error(w, fmt.Sprintf("Forbidden (user=%s, verb=get, "+
				"resource=inferenceservices, subresource=)", user["username"]),
				http.StatusForbidden)
			return
		}
		r.Header.Del("Authorization")
		// The whole request first: Go's server takes away a body that is still being read when the
		// answer begins, and its transport then breaks the connection in the middle of the answer.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}
	health := http.NewServeMux()
	health.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ok")
	})
	go func() {
		at := fmt.Sprintf(":%d", *probed)
		log.Fatal(http.ListenAndServeTLS(at, *certificate, *key, health))
	}()
	log.Fatal(http.ListenAndServeTLS(*listen, *certificate, *key, http.HandlerFunc(handler)))
}
