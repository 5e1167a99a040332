// What differs between server versions: every PG_VERSION_NUM test of the project stands here.
// Wrappers carry the newest version's signature. Included by pg/server.h only.
#pragma once

#if PG_VERSION_NUM < 150000
#error "many_models needs PostgreSQL 15 or newer"
#endif

extern "C" {
#include "utils/regproc.h"
}

namespace many::pg {

// The parts of a name such as schema."Table"; from 16 on the server can report errors softly.
inline List* qualified_name_parts(const char* name) {
#if PG_VERSION_NUM >= 160000
    return stringToQualifiedNameList(name, nullptr);
#else
    return stringToQualifiedNameList(name);
#endif
}

// pg_class_aclcheck and friends became object_aclcheck in 16 for all but relations.
inline bool schema_create_allowed(Oid schema, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(NamespaceRelationId, schema, role, ACL_CREATE) == ACLCHECK_OK;
#else
    return pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

// force_parallel_mode was renamed debug_parallel_query in 16.
inline const char* forced_parallel_guc() {
#if PG_VERSION_NUM >= 160000
    return "debug_parallel_query";
#else
    return "force_parallel_mode";
#endif
}

// pg_class_ownercheck became object_ownercheck in 16.
inline bool relation_owned(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(RelationRelationId, relation, role);
#else
    return pg_class_ownercheck(relation, role);
#endif
}

// Raises 42501 unless `member` may become `role`; check_is_member_of_role gave way to
// check_can_set_role in 16.
inline void require_member(Oid member, Oid role) {
#if PG_VERSION_NUM >= 160000
    check_can_set_role(member, role);
#else
    check_is_member_of_role(member, role);
#endif
}

// The local transaction id moved within PGPROC in 17.
inline LocalTransactionId local_transaction() {
#if PG_VERSION_NUM >= 170000
    return MyProc->vxid.lxid;
#else
    return MyProc->lxid;
#endif
}

// get_guc_variables tells their number since 16.
inline struct config_generic** all_settings(int* n) {
#if PG_VERSION_NUM >= 160000
    return get_guc_variables(n);
#else
    *n = GetNumConfigOptions();
    return get_guc_variables();
#endif
}

// Since 17 a background worker may work for a role that cannot log in.
#if PG_VERSION_NUM >= 170000
constexpr bool kWorkersNeedLogin = false;
constexpr uint32 kWorkerConnection = BGWORKER_BYPASS_ROLELOGINCHECK;
#else
constexpr bool kWorkersNeedLogin = true;
constexpr uint32 kWorkerConnection = 0;
#endif

// The bytes of base64 became uint8 in 18. Negative: no room, or no base64.
inline int base64_encode(const char* data, int length, char* to, int room) {
#if PG_VERSION_NUM >= 180000
    return pg_b64_encode(reinterpret_cast<const uint8*>(data), length, to, room);
#else
    return pg_b64_encode(data, length, to, room);
#endif
}
inline int base64_decode(const char* text, int length, char* to, int room) {
#if PG_VERSION_NUM >= 180000
    return pg_b64_decode(text, length, reinterpret_cast<uint8*>(to), room);
#else
    return pg_b64_decode(text, length, to, room);
#endif
}

// index_beginscan has an argument for EXPLAIN's counts since 18.
inline IndexScanDesc begin_index_scan(Relation table, Relation index, Snapshot snapshot, int n) {
#if PG_VERSION_NUM >= 180000
    return index_beginscan(table, index, snapshot, nullptr, n, 0);
#else
    return index_beginscan(table, index, snapshot, n, 0);
#endif
}

// A table that rows are inserted into grew by one page at a time before 16. Its file then: of the
// first segment, relative to the data directory.
#if PG_VERSION_NUM >= 160000
constexpr bool kGrowsByPage = false;
inline const char* main_fork_path(Relation) {
    return "";
}
#else
constexpr bool kGrowsByPage = true;
inline const char* main_fork_path(Relation relation) {
    return relpathperm(relation->rd_node, MAIN_FORKNUM);
}
#endif

// Walkers and mutators have been declared without their parameters before 16.
#if PG_VERSION_NUM >= 160000
inline bool walk_expression(Node* node, bool (*walker)(Node*, void*), void* context) {
    return expression_tree_walker(node, walker, context);
}
inline bool walk_raw_expression(Node* node, bool (*walker)(Node*, void*), void* context) {
    return raw_expression_tree_walker(node, walker, context);
}
inline Node* mutate_expression(Node* node, Node* (*mutator)(Node*, void*), void* context) {
    return expression_tree_mutator(node, mutator, context);
}
#else
template <class F>
inline auto untyped(F function) {
    return reinterpret_cast<void (*)()>(function);  // the compiler's word for "on purpose"
}
inline bool walk_expression(Node* node, bool (*walker)(Node*, void*), void* context) {
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(untyped(walker)), context);
}
inline bool walk_raw_expression(Node* node, bool (*walker)(Node*, void*), void* context) {
    return raw_expression_tree_walker(node, reinterpret_cast<bool (*)()>(untyped(walker)), context);
}
inline Node* mutate_expression(Node* node, Node* (*mutator)(Node*, void*), void* context) {
    return expression_tree_mutator(node, reinterpret_cast<Node* (*)()>(untyped(mutator)), context);
}
#endif

}  // namespace many::pg
