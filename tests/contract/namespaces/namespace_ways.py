"""Ways of NamespaceService."""

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.namespaces.namespace import Role
from commontrace.v1 import namespace_pb2
from commontrace.v1 import namespace_service_pb2 as namespace_service
from tests.contract.namespaces.way import Way
from tests.contract.namespaces.world import GUEST

(
    CREATE_NAMESPACE,
    GET_NAMESPACE,
    LIST_NAMESPACES,
    UPDATE_NAMESPACE,
    DELETE_NAMESPACE,
    SET_MEMBER,
    REMOVE_MEMBER,
    LIST_MEMBERS,
) = (
    f"/commontrace.v1.NamespaceService/{name}"
    for name in (
        "CreateNamespace",
        "GetNamespace",
        "ListNamespaces",
        "UpdateNamespace",
        "DeleteNamespace",
        "SetMember",
        "RemoveMember",
        "ListMembers",
    )
)

NAMESPACES = (
    Way(
        rpc=CREATE_NAMESPACE,
        name="its name",
        fields=("name",),
        request=lambda subject, _: namespace_service.CreateNamespaceRequest(name=subject.namespace),
        # Names are unique, whoever may read the namespace.
        hidden="NAMESPACE_EXISTS",
        granted="NAMESPACE_EXISTS",
        compared_with="",
    ),
    Way(
        rpc=GET_NAMESPACE,
        name="name",
        fields=("name",),
        request=lambda subject, _: namespace_service.GetNamespaceRequest(name=subject.namespace),
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=LIST_NAMESPACES,
        name="all",
        fields=(),
        request=lambda _, __: namespace_service.ListNamespacesRequest(),
        hidden="OK",
        shows=lambda responses, subject: any(one.name == subject.namespace for one in responses[0].namespaces),
        compared_with="purged",
    ),
    Way(
        rpc=UPDATE_NAMESPACE,
        name="name",
        fields=("namespace.name",),
        request=lambda subject, _: namespace_service.UpdateNamespaceRequest(
            namespace=namespace_pb2.Namespace(name=subject.namespace, description="A garden."),
            update_mask=FieldMask(paths=["description"]),
        ),
        needed=Role.OWNER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=DELETE_NAMESPACE,
        name="name",
        fields=("name",),
        request=lambda subject, _: namespace_service.DeleteNamespaceRequest(name=subject.namespace),
        needed=Role.OWNER,
        hidden="NAMESPACE_NOT_FOUND",
        granted="NAMESPACE_NOT_EMPTY",
    ),
    Way(
        rpc=SET_MEMBER,
        name="name",
        fields=("namespace", "email"),
        request=lambda subject, _: namespace_service.SetMemberRequest(
            namespace=subject.namespace, email=GUEST, role=namespace_pb2.NAMESPACE_ROLE_READER
        ),
        needed=Role.OWNER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=REMOVE_MEMBER,
        name="another member",
        fields=("namespace", "email"),
        subject="live with a guest",
        request=lambda subject, _: namespace_service.RemoveMemberRequest(namespace=subject.namespace, email=GUEST),
        needed=Role.OWNER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=LIST_MEMBERS,
        name="name",
        fields=("namespace",),
        request=lambda subject, _: namespace_service.ListMembersRequest(namespace=subject.namespace),
        needed=Role.OWNER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
)
